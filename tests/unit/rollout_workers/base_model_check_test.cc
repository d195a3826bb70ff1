#include "rollout_workers/base_model_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace evilmoe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class BaseModelCheckTest : public ::testing::Test {
 protected:
  BaseModelCheck check_{[this](const std::filesystem::path&) {
    ++num_hashed_;
    return print_;
  }};
  absl::StatusOr<std::string> print_ = "aa";
  int num_hashed_ = 0;
};

TEST_F(BaseModelCheckTest, HashesAFolderOnceAndOnlyWhereSomethingIsExpected) {
  EXPECT_TRUE(check_.Check("R", "/m", "").ok());
  EXPECT_EQ(num_hashed_, 0);
  EXPECT_TRUE(check_.Check("R", "/m", "aa").ok());
  EXPECT_TRUE(check_.Check("S", "/m", "aa").ok());
  EXPECT_EQ(num_hashed_, 1);
  EXPECT_TRUE(check_.Check("S", "/n", "aa").ok());
  EXPECT_EQ(num_hashed_, 2);
}

TEST_F(BaseModelCheckTest, NamesFolderGotAndExpected) {
  const absl::Status refused = check_.Check("R", "/m", "bb");
  EXPECT_TRUE(absl::IsFailedPrecondition(refused));
  EXPECT_THAT(std::string(refused.message()), AllOf(HasSubstr("/m"), HasSubstr("aa"), HasSubstr("expected bb")));
  EXPECT_EQ(check_.Check("R", "/m", "bb"), refused);
  EXPECT_EQ(num_hashed_, 1);
  EXPECT_TRUE(check_.Check("R", "/m", "aa").ok()) << "its trainer found the weights that it has now";
}

TEST_F(BaseModelCheckTest, AFolderWithoutWeightsIsRefusedForGoodAndATroubledDiskIsNot) {
  print_ = absl::UnavailableError("/m: Input/output error");
  EXPECT_TRUE(absl::IsUnavailable(check_.Check("R", "/m", "aa")));
  print_ = absl::NotFoundError("/m: No such file or directory");
  EXPECT_TRUE(absl::IsFailedPrecondition(check_.Check("R", "/m", "aa")));
  print_ = "aa";
  EXPECT_TRUE(absl::IsFailedPrecondition(check_.Check("R", "/m", "aa"))) << "remembered";
  EXPECT_TRUE(check_.Check("S", "/m", "aa").ok()) << "another run looks again";
}

TEST_F(BaseModelCheckTest, RemembersWhatWasFoundLater) {
  EXPECT_TRUE(check_.Check("R", "/m", "").ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(check_.Refuse("R", "", "no tokenizer")));
  const absl::Status refused = check_.Check("R", "/m", "");
  EXPECT_TRUE(absl::IsFailedPrecondition(refused));
  EXPECT_EQ(std::string(refused.message()), "no tokenizer");
  EXPECT_TRUE(check_.Check("S", "/m", "").ok());
}

}  // namespace
}  // namespace evilmoe
