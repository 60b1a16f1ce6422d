// A Shared is a value: what is done to one is not seen in another, on any thread.
#include "placewright/base/shared.h"

#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace placewright {
namespace {

using Text = Shared<std::string>;

TEST(Shared, CopiesAreOnePieceUntilOneIsChanged) {
  Text a(std::string("first")), b = a;
  EXPECT_EQ(&*a, &*b);
  b.own() += " and more";
  EXPECT_EQ(*a, "first");
  EXPECT_EQ(*b, "first and more");
  const std::string* alone = &*b;
  b.own() = "other";
  EXPECT_EQ(&*b, alone) << "what nobody shares is changed in place";
  b = a;
  EXPECT_EQ(&*a, &*b);
  b = b;
  EXPECT_EQ(*b, "first");
}

TEST(Shared, IsTheInitialValueBeforeAndAfter) {
  Text none, text(std::string("text"));
  EXPECT_EQ(*none, "");
  EXPECT_EQ(none, Text(std::string()));
  Text moved = std::move(text);
  EXPECT_EQ(*text, "");  // NOLINT(bugprone-use-after-move): what it is then is said
  EXPECT_EQ(*moved, "text");
  text.own() = "again";
  EXPECT_EQ(*text, "again");
  EXPECT_EQ(*moved, "text");
}

TEST(Shared, EqualWhereTheValuesAre) {
  Text a(std::string("same")), b(std::string("same")), c(std::string("other"));
  EXPECT_NE(&*a, &*b);
  EXPECT_EQ(a, b);
  EXPECT_FALSE(a == c);
}

// The sanitizers look on.
TEST(Shared, ThreadsChangeTheirCopies) {
  Shared<std::vector<int>> first(std::vector<int>(100, 0));
  std::vector<std::thread> threads;
  std::vector<int> sums(4, 0);
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([copy = first, t, &sums]() mutable {
      for (int round = 0; round < 1000; ++round) {
        Shared<std::vector<int>> mine = copy;
        mine.own()[static_cast<size_t>(round % 100)] += 1;
        if (round % 2) copy = std::move(mine);
      }
      for (int number : *copy) sums[static_cast<size_t>(t)] += number;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sums, std::vector<int>(4, 500));
  EXPECT_EQ(*first, std::vector<int>(100, 0));
}

}  // namespace
}  // namespace placewright
