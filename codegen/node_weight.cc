#include "node_weight.h"

namespace placewright {

double node_weight(ScalarOp op) {
  switch (op) {
    case ScalarOp::constant:
    case ScalarOp::index:
    case ScalarOp::load:
    case ScalarOp::reduced:
    case ScalarOp::parameter:
    case ScalarOp::bitcast:
      return 0;
    case ScalarOp::div:
    case ScalarOp::rem:
    case ScalarOp::sqrt:
    case ScalarOp::rsqrt:
      return 8;
    case ScalarOp::exp:
    case ScalarOp::log:
    case ScalarOp::sigmoid:
      return 16;
    case ScalarOp::expm1:
    case ScalarOp::log1p:
    case ScalarOp::tanh:
    case ScalarOp::sin:
    case ScalarOp::cos:
      return 60;
    case ScalarOp::pow:
    case ScalarOp::atan2:
    case ScalarOp::tan:
    case ScalarOp::asin:
    case ScalarOp::acos:
    case ScalarOp::atan:
    case ScalarOp::sinh:
    case ScalarOp::cosh:
    case ScalarOp::erf:
      return 120;
    default:
      return 1;
  }
}

}  // namespace placewright
