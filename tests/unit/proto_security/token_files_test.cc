// Files that are read again when they change.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/file.h"
#include "proto/security/token_source.h"
#include "proto/security/watched_file.h"
#include "tests/fakes/fake_clock.h"
#include "tests/unit/proto_security/certificates_kit.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Code = absl::StatusCode;

class TokenFilesTest : public ::testing::Test {
 protected:
  void Write(const std::string& text) { ASSERT_TRUE(WriteFileAtomic(file_, text).ok()); }
  void Wait() { clock_.Advance(WatchedFile::kInterval); }

  const ScratchFolder folder_;
  const std::filesystem::path file_ = folder_ / "token";
  FakeClock clock_;
};

TEST_F(TokenFilesTest, AFileIsNewsOnceAndWhenItChanges) {
  WatchedFile watched(file_, 100, clock_);
  const auto absent = watched.Poll();
  ASSERT_TRUE(absent.has_value());
  EXPECT_EQ(absent->status().code(), Code::kNotFound);
  Write("a");
  EXPECT_FALSE(watched.Poll().has_value()) << "looked at less than a second ago";
  Wait();
  EXPECT_EQ(watched.Poll().value().value(), "a");
  Wait();
  EXPECT_FALSE(watched.Poll().has_value());
  Write("b");
  Wait();
  EXPECT_EQ(watched.Poll().value().value(), "b");
  std::filesystem::remove(file_);
  Wait();
  EXPECT_EQ(watched.Poll().value().status().code(), Code::kNotFound);
  Wait();
  EXPECT_FALSE(watched.Poll().has_value()) << "told once";
  Write("c");
  clock_.Advance(-absl::Hours(1));  // a clock that is set back does not stop it
  EXPECT_EQ(watched.Poll().value().value(), "c");
}

TEST_F(TokenFilesTest, ATokenIsReadAgainAndTheLastGoodOneStays) {
  Write(" first\n");
  const auto source = TokenSource::Open(file_, clock_);
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ((*source)->Token(), "first");
  Write("second\n");
  EXPECT_EQ((*source)->Token(), "first");
  Wait();
  EXPECT_EQ((*source)->Token(), "second");
  Write("");
  Wait();
  EXPECT_EQ((*source)->Token(), "second");
  std::filesystem::remove(file_);
  Wait();
  EXPECT_EQ((*source)->Token(), "second");
  Write("third");
  Wait();
  EXPECT_EQ((*source)->Token(), "third");
}

TEST_F(TokenFilesTest, WhatIsNoTokenIsRefusedUnseen) {
  EXPECT_EQ(TokenSource::Open(file_, clock_).status().code(), Code::kNotFound);
  for (const std::string& text : {std::string(), std::string("two words"), std::string("two\nlines"),
                                  std::string("n\xc3\xa4h"), std::string(513, 'x')}) {
    Write(text);
    const absl::Status status = TokenSource::Open(file_, clock_).status();
    EXPECT_EQ(status.code(), Code::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr("is no token"));
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("words")));
  }
}

}  // namespace
}  // namespace evilmoe
