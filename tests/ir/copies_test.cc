// Copies of types and attributes share what they hold, and are values all the same.
#include <gtest/gtest.h>

#include "placewright/ir/attribute.h"
#include "placewright/ir/type.h"

namespace placewright {
namespace {

TEST(Copies, OfATypeAreOnePieceUntilOneIsSet) {
  const Where place{{{"sim", 0}}, {}, {}};
  Type a(DType::f32, {2, 3});
  const TensorType* held = &a.tensor();
  Type b = a;
  EXPECT_EQ(&b.tensor(), held);
  b.set_where({});  // as it is
  EXPECT_EQ(&b.tensor(), held);
  b.set_where(place);
  EXPECT_EQ(&a.tensor(), held);
  EXPECT_EQ(a, Type(DType::f32, {2, 3}));
  EXPECT_EQ(b, Type(TensorType{DType::f32, {2, 3}, {}, place}));
  const TensorType* own = &b.tensor();
  b.set_dtype(DType::i64);
  b.set_shape({3});
  b.set_layout({{}, {{0, 2}}, {}});
  EXPECT_EQ(&b.tensor(), own) << "what nobody shares is changed in place";
  EXPECT_EQ(b, Type(TensorType{DType::i64, {3}, {{}, {{0, 2}}, {}}, place}));
  EXPECT_EQ(a, Type(DType::f32, {2, 3}));
}

TEST(Copies, OfATypeThatIsMovedFrom) {
  Type a(DType::i64, {4});
  Type b = std::move(a);
  EXPECT_EQ(a, Type());  // NOLINT(bugprone-use-after-move): a type as any
  a.set_shape({5});
  EXPECT_EQ(a, Type(DType::f32, {5}));
  EXPECT_EQ(Type(), Type(DType::f32, {}));
  EXPECT_EQ(b, Type(DType::i64, {4}));
}

TEST(Copies, OfAttributesAreOnePieceUntilOneIsSet) {
  Attributes a{{"axis", int64_t{1}}, {"name", std::string("x")}};
  const Attribute* held = a.try_get("axis");
  Attributes b = a;
  EXPECT_EQ(b.try_get("axis"), held);
  b.set("axis", int64_t{2});
  b.set("more", true);
  EXPECT_EQ(a.try_get("axis"), held);
  EXPECT_EQ(a, (Attributes{{"axis", int64_t{1}}, {"name", std::string("x")}}));
  EXPECT_EQ(b, (Attributes{{"axis", int64_t{2}}, {"more", true}, {"name", std::string("x")}}));
  a = b;
  EXPECT_EQ(a.try_get("axis"), b.try_get("axis"));
  EXPECT_TRUE(Attributes().empty());
}

}  // namespace
}  // namespace placewright
