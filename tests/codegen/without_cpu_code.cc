// What of these tests runs kernels on the processor.
#include "needs_cpu_code.h"

namespace placewright::testing {
namespace {

const bool listed = skip_without_cpu_code({
    "CompileProgram.ALittleCodeIsOneImage",
    "CompileProgram.BytesDoNotDependOnTheThreadsThatCompile",
    "DerivedKernels_checked.*",
    "DerivedKernels_v2.*",
    "DerivedKernels_v3.*",
    "DerivedKernels_v4.*",
    "LowerFunction.FusionDoesNotChangeBits",
    "LowerFunction.FusionDoesNotChangeBitsOfComposites",
    "LowerFunction.RandomGraphsThroughInterpreterAndLlvm",
    "SmallReductions.*",
    "VectorMath.*",
});

}  // namespace
}  // namespace placewright::testing
