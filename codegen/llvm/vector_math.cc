#include "vector_math.h"

#include <numbers>

#include "placewright/base/error.h"

namespace placewright {
namespace {

using llvm::Intrinsic::ID;

// Arithmetic on IR values as it is written on paper. A plain number becomes a constant of the other operand's type.
class Term {
 public:
  Term(llvm::IRBuilderBase& b, llvm::Value* value, bool has_fma) : b_(&b), value_(value), has_fma_(has_fma) {}

  llvm::Value* value() const { return value_; }
  bool has_fma() const { return has_fma_; }
  llvm::Type* type() const { return value_->getType(); }
  bool is_double() const { return type()->getScalarType()->isDoubleTy(); }
  Term with(llvm::Value* value) const { return {*b_, value, has_fma_}; }
  Term number(double number) const { return with(llvm::ConstantFP::get(type(), number)); }
  Term call(ID id) const { return with(b_->CreateUnaryIntrinsic(id, value_)); }
  Term call(ID id, Term other) const { return with(b_->CreateBinaryIntrinsic(id, value_, other.value_)); }
  Term abs() const { return call(llvm::Intrinsic::fabs); }
  Term sqrt() const { return call(llvm::Intrinsic::sqrt); }
  Term with_sign_of(Term other) const { return call(llvm::Intrinsic::copysign, other); }

  // this * factor + summand, in one rounding where the target can.
  Term times_plus(Term factor, Term summand) const {
    if (!has_fma_) return with(b_->CreateFAdd(b_->CreateFMul(value_, factor.value_), summand.value_));
    return with(b_->CreateIntrinsic(llvm::Intrinsic::fma, {type()}, {value_, factor.value_, summand.value_}));
  }
  Term times_plus(double factor, Term summand) const { return times_plus(number(factor), summand); }
  // c[0] + x (c[1] + x (c[2] + ...))
  Term polynomial(std::initializer_list<double> coefficients) const {
    const double* at = coefficients.end() - 1;
    Term sum = number(*at);
    while (at != coefficients.begin()) sum = sum.times_plus(*this, number(*--at));
    return sum;
  }

  friend Term operator+(Term a, Term b) { return a.with(a.b_->CreateFAdd(a.value_, b.value_)); }
  friend Term operator-(Term a, Term b) { return a.with(a.b_->CreateFSub(a.value_, b.value_)); }
  friend Term operator*(Term a, Term b) { return a.with(a.b_->CreateFMul(a.value_, b.value_)); }
  friend Term operator/(Term a, Term b) { return a.with(a.b_->CreateFDiv(a.value_, b.value_)); }
  friend Term operator+(Term a, double b) { return a + a.number(b); }
  friend Term operator-(Term a, double b) { return a - a.number(b); }
  friend Term operator*(Term a, double b) { return a * a.number(b); }
  friend Term operator-(double a, Term b) { return b.number(a) - b; }
  friend Term operator/(double a, Term b) { return b.number(a) / b; }
  friend Term operator-(Term a) { return a.with(a.b_->CreateFNeg(a.value_)); }

  // Comparisons are false where a side is NaN; results are bits.
  llvm::Value* below(Term other) const { return b_->CreateFCmpOLT(value_, other.value_); }
  llvm::Value* below(double other) const { return below(number(other)); }
  llvm::Value* above(Term other) const { return other.below(*this); }
  llvm::Value* above(double other) const { return above(number(other)); }
  llvm::Value* equals(Term other) const { return b_->CreateFCmpOEQ(value_, other.value_); }
  llvm::Value* equals(double other) const { return equals(number(other)); }
  llvm::Value* is_nan() const { return b_->CreateFCmpUNO(value_, value_); }
  // `other` where the condition holds.
  Term where(llvm::Value* condition, Term other) const {
    return with(b_->CreateSelect(condition, other.value_, value_));
  }
  Term where(llvm::Value* condition, double other) const { return where(condition, number(other)); }
  Term at_most(double limit) const { return where(above(limit), limit); }
  Term at_least(double limit) const { return where(below(limit), limit); }

  llvm::IRBuilderBase& builder() const { return *b_; }
  llvm::Type* integer_type() const {
    llvm::Type* element = b_->getIntNTy(is_double() ? 64 : 32);
    auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(type());
    return vector ? llvm::FixedVectorType::get(element, vector->getNumElements()) : element;
  }
  llvm::Value* integer(uint64_t value) const { return llvm::ConstantInt::get(integer_type(), value); }
  llvm::Value* bits() const { return b_->CreateBitCast(value_, integer_type()); }
  Term from_bits(llvm::Value* bits) const { return with(b_->CreateBitCast(bits, type())); }
  int mantissa_bits() const { return is_double() ? 52 : 23; }
  int exponent_bias() const { return is_double() ? 1023 : 127; }

 private:
  llvm::IRBuilderBase* b_;
  llvm::Value* value_;
  bool has_fma_;
};

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

// The nearest integer to x, as a number and in the low bits of an integer; |x| < 2^(mantissa - 1). NaN stays harmless.
struct Nearest {
  Term number;
  llvm::Value* integer;
};
Nearest nearest(Term x) {
  double magic = x.is_double() ? 6755399441055744.0 : 12582912.0;  // 1.5 * 2^mantissa: its last bit is worth 1
  Term shifted = x + magic;
  return {shifted - magic, x.builder().CreateSub(shifted.bits(), x.number(magic).bits())};
}

// 2^n for n within the exponents of normal numbers.
Term power_of_two(Term like, llvm::Value* n) {
  auto& b = like.builder();
  auto bias = like.integer(static_cast<uint64_t>(like.exponent_bias()));
  return like.from_bits(b.CreateShl(b.CreateAdd(n, bias), like.integer(static_cast<uint64_t>(like.mantissa_bits()))));
}

// x = n ln 2 + r with |r| <= ln 2 / 2 (Cody and Waite).
struct Reduced {
  llvm::Value* n;
  Term r;
};
Reduced reduce_by_ln2(Term x) {
  Nearest n = nearest(x * std::numbers::log2e);
  bool wide = x.is_double();
  double high = wide ? 6.93147180369123816490e-01 : 0.693359375;
  double low = wide ? 1.90821492927058770002e-10 : -2.12194440e-4;
  return {n.integer, n.number.times_plus(-low, n.number.times_plus(-high, x))};
}

// f64: Taylor to r^13, below 1 ulp; f32: Cephes' expf, 1.1 ulp.
Term exp(Term x) {
  bool wide = x.is_double();
  Term bounded = x.at_most(wide ? 710 : 89).at_least(wide ? -746 : -104);
  auto [n, r] = reduce_by_ln2(bounded);
  Term tail = wide ? r.polynomial({1. / 2, 1. / 6, 1. / 24, 1. / 120, 1. / 720, 1. / 5040, 1. / 40320, 1. / 362880,
                                   1. / 3628800, 1. / 39916800, 1. / 479001600, 1. / 6227020800})
                   : r.polynomial({5.0000001201E-1, 1.6666665459E-1, 4.1665795894E-2, 8.3334519073E-3, 1.3981999507E-3,
                                   1.9875691500E-4});
  Term value = (r * r).times_plus(tail, r) + 1.0;
  // In two factors, so that the smallest and the largest results are reached.
  llvm::Value* half = x.builder().CreateAShr(n, x.integer(1));
  return value * power_of_two(x, half) * power_of_two(x, x.builder().CreateSub(n, half));
}

// fdlibm's log and logf: below 1 ulp.
Term log(Term x) {
  auto& b = x.builder();
  bool wide = x.is_double();
  int mantissa = x.mantissa_bits();
  llvm::Value* tiny = x.below(wide ? 0x1p-1022 : 0x1p-126);
  Term scaled = x.where(tiny, x * (wide ? 0x1p54 : 0x1p25));
  // m in [sqrt(1/2), sqrt 2): the exponent is counted from there.
  uint64_t root_half = wide ? 0x3fe6a09e667f3bcdull : 0x3f3504f3ull;
  llvm::Value* shifted = b.CreateSub(scaled.bits(), x.integer(root_half));
  llvm::Value* exponent = b.CreateAShr(shifted, x.integer(static_cast<uint64_t>(mantissa)));
  Term m = x.from_bits(b.CreateSub(scaled.bits(), b.CreateShl(exponent, x.integer(static_cast<uint64_t>(mantissa)))));
  Term e = x.with(b.CreateSIToFP(exponent, x.type()));
  e = e.where(tiny, e - (wide ? 54.0 : 25.0));
  Term f = m - 1.0, s = f / (f + 2.0), z = s * s, half = f * f * 0.5;
  Term r = wide ? z * z.polynomial({6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01,
                                    2.222219843214978396e-01, 1.818357216161805012e-01, 1.531383769920937332e-01,
                                    1.479819860511658591e-01})
                : z * z.polynomial({0xaaaaaa.0p-24, 0xccce13.0p-25, 0x91e9ee.0p-25, 0xf89e26.0p-26});
  double high = wide ? 6.93147180369123816490e-01 : 6.9313812256e-01;
  double low = wide ? 1.90821492927058770002e-10 : 9.0580006145e-06;
  Term value = e * high - ((half - (s * (half + r) + e * low)) - f);
  value = value.where(x.equals(infinity), infinity).where(x.equals(0.0), -infinity).where(x.below(0.0), nan);
  return value.where(x.is_nan(), x);
}

// Kahan's correction of log(1 + x) by what the sum lost; about 2 ulp.
Term log1p(Term x) {
  Term u = x + 1.0;
  Term value = log(u) + (x - (u - 1.0)) / u;
  return value.where(x.equals(infinity), infinity).where(x.equals(-1.0), -infinity).where(x.equals(0.0), x);
}

// f64 only, as all that follow: f32 is computed in f64 and rounded. Taylor; about 2 ulp.
Term expm1(Term x) {
  auto [n, r] = reduce_by_ln2(x.at_most(40).at_least(-40));
  Term tail = r.polynomial({1. / 2, 1. / 6, 1. / 24, 1. / 120, 1. / 720, 1. / 5040, 1. / 40320, 1. / 362880,
                            1. / 3628800, 1. / 39916800, 1. / 479001600, 1. / 6227020800, 1. / 87178291200});
  Term part = (r * r).times_plus(tail, r), scale = power_of_two(x, n);
  Term value = scale.times_plus(part, scale - 1.0);
  value = value.where(x.above(39), exp(x)).where(x.below(-39), -1.0);
  return value.where(x.equals(0.0), x);
}

Term tanh(Term x) {
  Term t = expm1(x.abs().at_most(22) * 2.0);
  return (t / (t + 2.0)).with_sign_of(x).where(x.is_nan(), x);
}

// By exp(-|x|), which keeps the small results of very negative x.
Term sigmoid(Term x) {
  Term e = exp(-x.abs());
  return x.number(1).where(x.below(0.0), e) / (e + 1.0);
}

Term sinh(Term x) {
  Term size = x.abs(), t = expm1(size), half = exp(size * 0.5);
  Term value = ((t + t / (t + 1.0)) * 0.5).where(size.above(39), half * 0.5 * half);
  return value.with_sign_of(x);
}

Term cosh(Term x) {
  Term size = x.abs(), e = exp(size), half = exp(size * 0.5);
  return (e * 0.5 + 0.5 / e).where(size.above(39), half * 0.5 * half);
}

// fdlibm's s_erf.c: rational functions on four ranges; below 1 ulp but for the steps between them.
Term erf(Term x) {
  auto& b = x.builder();
  Term size = x.abs(), z = x * x;
  Term near =
      x + x * (z.polynomial({1.28379167095512558561e-01, -3.25042107247001499370e-01, -2.84817495755985104766e-02,
                             -5.77027029648944159157e-03, -2.37630166566501626084e-05}) /
               z.polynomial({1, 3.97917223959155352819e-01, 6.50222499887672944485e-02, 5.08130628187576562776e-03,
                             1.32494738004321644526e-04, -3.96022827877536812320e-06}));
  Term s = size - 1.0;
  Term middle = s.polynomial({-2.36211856075265944077e-03, 4.14856118683748331666e-01, -3.72207876035701323847e-01,
                              3.18346619901161753674e-01, -1.10894694282396677476e-01, 3.54783043256182359371e-02,
                              -2.16637559486879084300e-03}) /
                    s.polynomial({1, 1.06420880400844228286e-01, 5.40397917702171048937e-01, 7.18286544141962662868e-02,
                                  1.26171219808761642112e-01, 1.36370839120290507362e-02, 1.19844998467991074170e-02}) +
                8.45062911510467529297e-01;
  Term far_size = size.at_least(1.25).at_most(6);
  Term t = 1.0 / (far_size * far_size);
  Term ra = t.polynomial({-9.86494403484714822705e-03, -6.93858572707181764372e-01, -1.05586262253232909814e+01,
                          -6.23753324503260060396e+01, -1.62396669462573470355e+02, -1.84605092906711035994e+02,
                          -8.12874355063065934246e+01, -9.81432934416914548592e+00});
  Term sa = t.polynomial({1, 1.96512716674392571292e+01, 1.37657754143519042600e+02, 4.34565877475229228821e+02,
                          6.45387271733267880336e+02, 4.29008140027567833386e+02, 1.08635005541779435134e+02,
                          6.57024977031928170135e+00, -6.04244152148580987438e-02});
  Term rb = t.polynomial({-9.86494292470009928597e-03, -7.99283237680523006574e-01, -1.77579549177547519889e+01,
                          -1.60636384855821916062e+02, -6.37566443368389627722e+02, -1.02509513161107724954e+03,
                          -4.83519191608651397019e+02});
  Term sb = t.polynomial({1, 3.03380607434824582924e+01, 3.25792512996573918826e+02, 1.53672958608443695994e+03,
                          3.19985821950859553908e+03, 2.55305040643316442583e+03, 4.74528541206955367215e+02,
                          -2.24409524465858183362e+01});
  llvm::Value* farther = far_size.above(1 / 0.35);
  Term ratio = (ra / sa).where(farther, rb / sb);
  Term high = x.from_bits(b.CreateAnd(far_size.bits(), x.integer(0xffffffff00000000ull)));
  Term complement = exp(-(high * high) - 0.5625) * exp((high - far_size) * (high + far_size) + ratio) / far_size;
  Term value = (1.0 - complement).where(size.above(6), 1.0);
  value = value.where(size.below(1.25), middle).with_sign_of(x).where(size.below(0.84375), near);
  return value.where(x.is_nan(), x);
}

// fdlibm's kernels after a reduction by pi/2 in three parts: below 1 ulp for |x| up to about 1e6, and no accuracy is
// promised beyond 1e8. `precise` keeps what the reduced argument lost (f32 does not need it).
Term sine(Term x, bool cosine, bool precise) {
  auto& b = x.builder();
  constexpr double part1 = 1.57079632673412561417e+00, part2 = 6.07710050630396597660e-11;
  constexpr double part3 = 2.02226624879595063154e-21;
  Nearest n = nearest(x * (2 / std::numbers::pi));
  Term first = n.number.times_plus(-part1, x);  // exact, as the product is
  Term second = first - n.number * part2;
  Term lost = (first - second) - n.number * part2;
  Term third = n.number * part3 - lost;
  Term r = second - third;
  Term rest = precise ? (second - r) - third : x.number(0);
  Term z = r * r;
  Term v = z * r;
  Term p = z.polynomial({8.33333333332248946124e-03, -1.98412698298579493134e-04, 2.75573137070700676789e-06,
                         -2.50507602534068634195e-08, 1.58969099521155010221e-10});
  Term sin = r - ((z * (rest * 0.5 - v * p) - rest) - v * -1.66666666666666324348e-01);
  Term half = z * 0.5, w = 1.0 - half;
  Term q = z.polynomial({4.16666666666666019037e-02, -1.38888888888741095749e-03, 2.48015872894767294178e-05,
                         -2.75573143513906633035e-07, 2.08757232129817482790e-09, -1.13596475577881948265e-11});
  Term cos = w + (((1.0 - w) - half) + (z * z * q - r * rest));
  llvm::Value* quadrant = cosine ? b.CreateAdd(n.integer, x.integer(1)) : n.integer;
  llvm::Value* odd = b.CreateICmpNE(b.CreateAnd(quadrant, x.integer(1)), x.integer(0));
  llvm::Value* negative = b.CreateICmpNE(b.CreateAnd(quadrant, x.integer(2)), x.integer(0));
  Term value = sin.where(odd, cos);
  value = value.where(negative, -value);
  if (!cosine) value = value.where(x.equals(0.0), x);
  return value.where(x.abs().equals(infinity), nan);
}

// Cephes' atan: 1 ulp.
Term atan(Term x) {
  Term size = x.abs();
  llvm::Value *large = size.above(2.41421356237309504880), *medium = size.above(0.66);
  Term r = size.where(medium, (size - 1.0) / (size + 1.0)).where(large, -1.0 / size);
  Term z = r * r;
  Term p = z.polynomial({-6.485021904942025371773E1, -1.228866684490136173410E2, -7.500855792314704667340E1,
                         -1.615753718733365076637E1, -8.750608600031904122785E-1});
  Term q = z.polynomial({1.945506571482613964425E2, 4.853903996359136964868E2, 4.328810604912902668951E2,
                         1.650270098316988542046E2, 2.485846490142306297962E1, 1});
  Term value = (z * (p / q)).times_plus(r, r);
  Term shift = x.number(0).where(medium, std::numbers::pi / 4).where(large, std::numbers::pi / 2);
  Term rest = x.number(0).where(medium, 0.5 * 6.123233995736765886130E-17).where(large, 6.123233995736765886130E-17);
  return (shift + (value + rest)).with_sign_of(x).where(x.is_nan(), x);
}

Term asin(Term x) { return atan(x / ((1.0 - x) * (x + 1.0)).sqrt()).where(x.equals(0.0), x); }
Term acos(Term x) { return atan(((1.0 - x) / (x + 1.0)).sqrt()) * 2.0; }

Term atan2(Term y, Term x) {
  auto& b = x.builder();
  Term ax = x.abs(), ay = y.abs();
  llvm::Value* steep = ay.above(ax);
  Term low = ay.where(steep, ax), high = ax.where(steep, ay);
  Term quotient = (low / high).where(high.equals(0.0), 0.0).where(low.equals(infinity), 1.0);
  Term angle = atan(quotient);
  angle = angle.where(steep, std::numbers::pi / 2 - angle);
  llvm::Value* left = b.CreateICmpSLT(x.bits(), x.integer(0));
  angle = angle.where(left, std::numbers::pi - angle).with_sign_of(y);
  return angle.where(x.is_nan(), x).where(y.is_nan(), y);
}

// A number in two parts: high is the sum rounded.
struct Pair {
  Term high, low;
};

// a * b exactly (Dekker, where there is no fused multiply-add).
Pair exact_product(Term a, Term b) {
  Term product = a * b;
  if (a.has_fma()) return {product, a.times_plus(b, -product)};
  auto upper = [](Term x) { return x.from_bits(x.builder().CreateAnd(x.bits(), x.integer(0xfffffffff8000000ull))); };
  Term ah = upper(a), bh = upper(b), al = a - ah, bl = b - bh;
  return {product, ((ah * bh - product) + ah * bl + al * bh) + al * bl};
}

// log x for positive normal or subnormal x with an error of about 2^-61, so that pow's exponent stays exact enough.
Pair log_pair(Term x) {
  auto& b = x.builder();
  llvm::Value* tiny = x.below(0x1p-1022);
  Term scaled = x.where(tiny, x * 0x1p54);
  llvm::Value* exponent = b.CreateAShr(b.CreateSub(scaled.bits(), x.integer(0x3fe6a09e667f3bcdull)), x.integer(52));
  Term m = x.from_bits(b.CreateSub(scaled.bits(), b.CreateShl(exponent, x.integer(52))));
  Term e = x.with(b.CreateSIToFP(exponent, x.type()));
  e = e.where(tiny, e - 54.0);
  // log m = 2 atanh(s), s = f / (f + 2) in two parts.
  Term f = m - 1.0, sum = f + 2.0, sum_low = f - (sum - 2.0), s = f / sum;
  Pair product = exact_product(s, sum);
  Term s_low = (((f - product.high) - product.low) - s * sum_low) / sum;
  Term z = s * s;
  Term series = s * z *
                z.polynomial({6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01,
                              2.222219843214978396e-01, 1.818357216161805012e-01, 1.531383769920937332e-01,
                              1.479819860511658591e-01});
  Term whole = e * 6.93147180369123816490e-01, twice = s * 2.0;  // exact
  Term high = whole + twice;
  Term low = (twice - (high - whole)) + (s_low * 2.0 + series + e * 1.90821492927058770002e-10);
  Term rounded = high + low;
  return {rounded, (high - rounded) + low};
}

// exp(y log |x|) with C's special cases. `precise` takes the logarithm and the product in two parts: a few ulp; without
// it, which is enough for f32, the relative error grows as 2^-53 |y log x|.
Term pow(Term x, Term y, bool precise) {
  auto& b = x.builder();
  Term size = x.abs();
  Term value = x;
  if (precise) {
    Pair log_size = log_pair(size);
    llvm::Value* ordinary = b.CreateAnd(size.above(0.0), size.below(infinity));
    Term extreme = x.number(infinity).where(size.equals(0.0), -infinity);
    Pair product = exact_product(y, extreme.where(ordinary, log_size.high));
    Term rest = y.times_plus(log_size.low, product.low);
    rest = x.number(0).where(b.CreateAnd(ordinary, product.high.abs().below(1e4)), rest);
    Term power = exp(product.high);
    value = power.where(power.below(infinity), power.times_plus(rest, power));
  } else {
    value = exp(y * log(size));
  }
  Term half = y * 0.5;
  llvm::Value* whole = y.call(llvm::Intrinsic::rint).equals(y);
  llvm::Value* odd = b.CreateAnd(whole, b.CreateNot(half.call(llvm::Intrinsic::rint).equals(half)));
  llvm::Value* negative = b.CreateICmpSLT(x.bits(), x.integer(0));
  value = value.where(size.equals(1.0), 1.0);
  value = value.where(b.CreateAnd(negative, odd), -value);
  llvm::Value* undefined = b.CreateAnd(x.below(0.0), b.CreateNot(whole));
  value = value.where(b.CreateAnd(undefined, size.below(infinity)), nan);
  value = value.where(x.is_nan(), x).where(y.is_nan(), y);
  return value.where(x.equals(1.0), 1.0).where(y.equals(0.0), 1.0);
}

// C's fmod, exact while |a / b| < 2^52.
Term remainder(Term a, Term b) {
  auto& builder = a.builder();
  Term quotient = (a / b).call(llvm::Intrinsic::trunc);
  Term value = (-quotient).times_plus(b, a);
  if (!a.has_fma()) {
    Term scale = a.number(1).where(a.abs().above(0x1p1000), 0x1p-8);  // keeps the product from overflowing
    Pair product = exact_product(quotient, b * scale);
    value = ((a * scale - product.high) - product.low) / scale;
  }
  // The quotient may have rounded over a whole number: one step back, or one more.
  llvm::Value* passed =
      builder.CreateAnd(builder.CreateFCmpONE(value.value(), value.number(0).value()),
                        builder.CreateICmpSLT(builder.CreateXor(value.bits(), a.bits()), a.integer(0)));
  value = value.where(passed, value + b.abs().with_sign_of(a));
  value = value.where(builder.CreateFCmpOGE(value.abs().value(), b.abs().value()), value - b.abs().with_sign_of(a));
  value = value.where(b.abs().equals(infinity), a).where(a.abs().equals(infinity), nan);
  return value.with_sign_of(a).where(b.equals(0.0), nan).where(a.is_nan(), a).where(b.is_nan(), b);
}

// `precise`: results are f64, not rounded to f32 afterwards.
Term emit(ScalarOp op, Term x, Term y, bool precise) {
  switch (op) {
    case ScalarOp::exp:
      return exp(x);
    case ScalarOp::expm1:
      return expm1(x);
    case ScalarOp::log:
      return log(x);
    case ScalarOp::log1p:
      return log1p(x);
    case ScalarOp::sin:
      return sine(x, false, precise);
    case ScalarOp::cos:
      return sine(x, true, precise);
    case ScalarOp::tan:
      return sine(x, false, precise) / sine(x, true, precise);
    case ScalarOp::asin:
      return asin(x);
    case ScalarOp::acos:
      return acos(x);
    case ScalarOp::atan:
      return atan(x);
    case ScalarOp::atan2:
      return atan2(x, y);
    case ScalarOp::sinh:
      return sinh(x);
    case ScalarOp::cosh:
      return cosh(x);
    case ScalarOp::tanh:
      return tanh(x);
    case ScalarOp::erf:
      return erf(x);
    case ScalarOp::sigmoid:
      return sigmoid(x);
    case ScalarOp::pow:
      return pow(x, y, precise);
    case ScalarOp::rem:
      return remainder(x, y);
    default:
      break;
  }
  PW_CHECK(false, "an op that is no elementary function");
  return x;
}

bool has_own_f32(ScalarOp op) { return op == ScalarOp::exp || op == ScalarOp::log || op == ScalarOp::sigmoid; }

}  // namespace

llvm::Value* emit_math(llvm::IRBuilderBase& builder, ScalarOp op, llvm::ArrayRef<llvm::Value*> operands, bool has_fma) {
  llvm::Type* type = operands[0]->getType();
  llvm::Type* wide = llvm::Type::getDoubleTy(builder.getContext());
  if (auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(type))
    wide = llvm::FixedVectorType::get(wide, vector->getNumElements());
  bool through_f64 = type != wide && !has_own_f32(op);
  std::vector<Term> terms;
  for (llvm::Value* operand : operands)
    terms.emplace_back(builder, through_f64 ? builder.CreateFPExt(operand, wide) : operand, has_fma);
  Term result = emit(op, terms[0], terms.back(), !through_f64);
  return through_f64 ? builder.CreateFPTrunc(result.value(), type) : result.value();
}

}  // namespace placewright
