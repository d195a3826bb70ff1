#include "dataset/id_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/dataset/leetcode_rows.h"

namespace evilmoe {
namespace {

using ::testing::ElementsAre;

TEST(IdList, KeepsTheOrder) {
  const auto ids = ParseIds("30  # the last\r\n\n# none\n 4\n12");
  ASSERT_TRUE(ids.ok()) << ids.status();
  EXPECT_THAT(*ids, ElementsAre(30, 4, 12));
}

TEST(IdList, ListsWhatIsNone) {
  EXPECT_EQ(MessageOf(ParseIds("1\ntwo\n3 4\n1\n5.0\n").status()),
            "line 2: \"two\", expected one integer\n"
            "line 3: \"3 4\", expected one integer\n"
            "line 4: 1 occurs before, expected every id once\n"
            "line 5: \"5.0\", expected one integer");
  EXPECT_EQ(MessageOf(ParseIds("# nothing\n").status()), "no id in it, expected one a line");
  EXPECT_EQ(LoadIds("/nowhere/ids.txt").status().code(), absl::StatusCode::kNotFound);
}

TEST(IdList, JoinsTheFirst) {
  EXPECT_EQ(JoinIds({1, 2, 3}), "1, 2, 3");
  EXPECT_EQ(JoinIds({1, 2, 3, 4}, 2), "1, 2 and 2 more");
  EXPECT_EQ(JoinIds({}), "");
}

}  // namespace
}  // namespace evilmoe
