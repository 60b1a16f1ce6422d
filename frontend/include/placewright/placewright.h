// Everything that users of Placewright need.
#pragma once

#include "placewright/compile.h"
#include "placewright/data.h"
#include "placewright/nn.h"
#include "placewright/npy.h"
#include "placewright/ops.h"
#include "placewright/optim.h"
#include "placewright/placement_rules.h"
#include "placewright/safetensors.h"
#include "placewright/session.h"
#include "placewright/summary.h"
#include "placewright/tensor.h"

namespace pw = placewright;
