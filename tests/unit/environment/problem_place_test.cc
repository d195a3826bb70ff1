#include "environment/problem_place.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "common/file.h"

namespace evilmoe {
namespace {

TEST(PlaceOfProblem, IsTheLineInTheFile) {
  const std::filesystem::path file = std::filesystem::path(::testing::TempDir()) / "problem_place_test.jsonl";
  ASSERT_TRUE(WriteFileAtomic(file, "{\"id\": 1}\n\n{\"id\": 12}\nnot JSON\n[2]\n{\"ids\": 3}\n{\"id\": 2}").ok());
  EXPECT_EQ(PlaceOfProblem(file, 1), file.string() + ": line 1");
  EXPECT_EQ(PlaceOfProblem(file, 12), file.string() + ": line 3");
  EXPECT_EQ(PlaceOfProblem(file, 2), file.string() + ": line 7");
  EXPECT_EQ(PlaceOfProblem(file, 3), file.string());
  std::filesystem::remove(file);
  EXPECT_EQ(PlaceOfProblem(file, 1), file.string());
}

}  // namespace
}  // namespace evilmoe
