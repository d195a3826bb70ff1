#include "services/runs/ulid.h"

#include <gtest/gtest.h>

namespace evilmoe {
namespace {

TEST(MakeUlid, FollowsTheSpecification) {
  EXPECT_EQ(MakeUlid(absl::UnixEpoch(), {}), "00000000000000000000000000");
  // The time part of the specification's own example: 1469918176385 ms = 01ARYZ6S41.
  EXPECT_EQ(MakeUlid(absl::FromUnixMillis(1469918176385), {}), "01ARYZ6S410000000000000000");
  std::array<uint8_t, 10> ones;
  ones.fill(0xff);
  EXPECT_EQ(MakeUlid(absl::FromUnixMillis((int64_t{1} << 48) - 1), ones), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
}

TEST(MakeUlid, SortsByTime) {
  std::array<uint8_t, 10> ones;
  ones.fill(0xff);
  EXPECT_LT(MakeUlid(absl::FromUnixMillis(1000), ones), MakeUlid(absl::FromUnixMillis(1001), {}));
}

TEST(NewUlid, IsValidAndDiffers) {
  const std::string first = NewUlid(absl::FromUnixMillis(5));
  EXPECT_TRUE(IsUlid(first)) << first;
  EXPECT_NE(first, NewUlid(absl::FromUnixMillis(5)));
}

TEST(IsUlid, RefusesWhatIsNone) {
  for (const char* text : {"", "0000000000000000000000000", "000000000000000000000000000", "80000000000000000000000000",
                           "0000000000000000000000000I", "0000000000000000000000000a"}) {
    EXPECT_FALSE(IsUlid(text)) << text;
  }
}

}  // namespace
}  // namespace evilmoe
