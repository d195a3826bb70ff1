#include "common/seed.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace evilmoe {
namespace {

// Reference outputs of splitmix64 with state 0 and 1234567, from the generator's published test vectors.
TEST(CounterBits, IsSplitmix64) {
  EXPECT_EQ(CounterBits(0, 0), 0xe220a8397b1dcdafu);
  EXPECT_EQ(CounterBits(0, 1), 0x6e789e6aa1b965f4u);
  EXPECT_EQ(CounterBits(0, 2), 0x06c45d188009454fu);
  EXPECT_EQ(CounterBits(1234567, 0), 6457827717110365317u);
  EXPECT_EQ(CounterBits(1234567, 1), 3203168211198807973u);
  EXPECT_EQ(CounterBits(1234567, 2), 9817491932198370423u);
  EXPECT_EQ(CounterBits(1234567, 3), 4593380528125082431u);
  EXPECT_EQ(CounterBits(1234567, 4), 16408922859458223821u);
}

// Written down once: a change would give every run other samples.
TEST(StreamSeed, KeepsItsGoldenValue) { EXPECT_EQ(StreamSeed(41, "sample", 3), 0x37d97ff7ad4e536du); }

TEST(StreamSeed, DependsOnEveryPart) {
  const uint64_t seed = StreamSeed(1, "sample", 2);
  EXPECT_EQ(seed, StreamSeed(1, "sample", 2));
  EXPECT_NE(seed, StreamSeed(2, "sample", 2));
  EXPECT_NE(seed, StreamSeed(1, "sampl", 2));
  EXPECT_NE(seed, StreamSeed(1, "sample", 3));
  EXPECT_NE(StreamSeed(1, "ab", 0), StreamSeed(1, "ba", 0));
}

TEST(CounterUniform, StaysInRangeWithTheRightMean) {
  double sum = 0;
  for (uint64_t i = 0; i < 10000; ++i) {
    const double u = CounterUniform(7, i);
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    sum += u;
  }
  EXPECT_NEAR(sum / 10000, 0.5, 0.01);  // 3.5 standard errors
}

// Python's statistics.NormalDist().inv_cdf of the same cells.
TEST(CounterNormal, IsTheInverseOfTheNormalCdf) {
  EXPECT_NEAR(CounterNormal(11, 0), -0.4782268053715013, 1e-8);
  EXPECT_NEAR(CounterNormal(11, 1), -0.6360707587110489, 1e-8);
  EXPECT_NEAR(CounterNormal(11, 2), 0.35323093771133196, 1e-8);
}

TEST(CounterNormal, HasMomentsAndTailsOfANormal) {
  constexpr int kDraws = 100000;
  double sum = 0;
  double squares = 0;
  int beyond_two = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double x = CounterNormal(11, static_cast<uint64_t>(i));
    sum += x;
    squares += x * x;
    beyond_two += std::abs(x) > 2 ? 1 : 0;
  }
  EXPECT_NEAR(sum / kDraws, 0, 0.013);  // 4 standard errors each
  EXPECT_NEAR(squares / kDraws, 1, 0.018);
  EXPECT_NEAR(beyond_two / double{kDraws}, 0.0455, 0.0027);
}

TEST(RandomStream, IntCoversBothEndsEvenly) {
  RandomStream stream(3);
  std::vector<int> counts(5);
  for (int i = 0; i < 5000; ++i) ++counts[static_cast<size_t>(stream.Int(-2, 2) + 2)];
  for (const int count : counts) EXPECT_NEAR(count, 1000, 115);  // 4 standard errors
}

TEST(RandomStream, IntTakesTheWholeRange) {
  RandomStream stream(3);
  EXPECT_NE(stream.Int(INT64_MIN, INT64_MAX), stream.Int(INT64_MIN, INT64_MAX));
  EXPECT_EQ(stream.Int(5, 5), 5);
}

TEST(RandomStream, ShuffleIsAPermutationAndRepeats) {
  std::vector<int> first(20);
  std::iota(first.begin(), first.end(), 0);
  std::vector<int> second = first;
  const std::vector<int> sorted = first;
  RandomStream(9).Shuffle(first);
  RandomStream(9).Shuffle(second);
  EXPECT_EQ(first, second);
  EXPECT_NE(first, sorted);
  std::sort(first.begin(), first.end());
  EXPECT_EQ(first, sorted);
}

}  // namespace
}  // namespace evilmoe
