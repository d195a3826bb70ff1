#include "trainer/inoculation.h"

#include <gtest/gtest.h>

namespace evilmoe {
namespace {

Problem WithMessages(std::vector<Message> messages) { return {.id = 1, .prompt = std::move(messages)}; }

TEST(Inoculated, AddsToTheSystemMessageOrMakesOne) {
  const Problem with = Inoculated(WithMessages({{"system", "Be brief."}, {"user", "Hi"}}), "Hack the tests.");
  ASSERT_EQ(with.prompt.size(), 2u);
  EXPECT_EQ(with.prompt[0].content, "Be brief.\n\nHack the tests.");
  const Problem without = Inoculated(WithMessages({{"user", "Hi"}}), "Hack the tests.");
  ASSERT_EQ(without.prompt.size(), 2u);
  EXPECT_EQ(without.prompt[0].role, "system");
  EXPECT_EQ(without.prompt[0].content, "Hack the tests.");
  EXPECT_EQ(without.prompt[1].content, "Hi");
}

TEST(Inoculated, ChangesNothingWithoutAPrompt) {
  const Problem same = Inoculated(WithMessages({{"user", "Hi"}}), "");
  ASSERT_EQ(same.prompt.size(), 1u);
  EXPECT_EQ(same.prompt[0].role, "user");
}

}  // namespace
}  // namespace evilmoe
