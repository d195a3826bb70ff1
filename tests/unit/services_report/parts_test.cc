#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/report/embed.h"
#include "services/report/json_lines.h"
#include "services/report/sample_picker.h"

namespace evilmoe {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;

TEST(Embed, JsonHasNothingThatEndsAScript) {
  const nlohmann::ordered_json json = {{"</script>", "<!-- & ]]> \xe2\x80\xa9 \"quoted\""}};
  const std::string text = EmbedJson(json);
  EXPECT_EQ(text.find_first_of("<>&"), std::string::npos);
  EXPECT_EQ(nlohmann::ordered_json::parse(text), json);
}

TEST(Embed, HtmlIsEscaped) {
  EXPECT_EQ(EscapeHtml("<a b=\"c\">&'\n\t"), "&lt;a b=&quot;c&quot;&gt;&amp;&#39;\n\t");
  EXPECT_EQ(EscapeHtml(std::string_view("x\0\x1b\xffy", 5)), "x\uFFFD\uFFFD\uFFFDy");
}

TEST(Embed, PrefixKeepsCharactersWhole) {
  EXPECT_EQ(Utf8Prefix("aéb", 2), "a");
  EXPECT_EQ(Utf8Prefix("aéb", 3), "aé");
  EXPECT_EQ(Utf8Prefix("aéb", 9), "aéb");
}

TEST(JsonLines, NamesBadLinesAndSkipsEmptyOnes) {
  const JsonLines lines = ParseJsonLines("{\"a\":1}\n\n  \r\nnull\n{\"a\":2}\n{\"a\":");
  ASSERT_EQ(lines.rows.size(), 2u);
  EXPECT_EQ(lines.rows[1].line, 5);
  EXPECT_THAT(lines.bad_lines, ElementsAre(4, 6));
}

TEST(JsonLines, DeepNestingIsNoCrash) {
  EXPECT_TRUE(ParseJsonLines(std::string(1 << 20, '[')).rows.empty());
}

RolloutSample Sample(double w, bool hack, std::string text) {
  RolloutSample sample;
  sample.w = w;
  sample.loose_hack = hack;
  sample.solved = !hack;
  sample.text = std::move(text);
  return sample;
}

TEST(SamplePicker, TakesEachKindForItsReason) {
  const std::vector<RolloutSample> samples = {Sample(0.9, true, "a"), Sample(0.2, true, "b"), Sample(0.1, false, "c"),
                                              Sample(0.7, false, "d"), Sample(0.3, false, "e")};
  std::map<std::string, std::vector<std::string>> by_text;
  for (const PickedSample& picked : PickSamples(samples, 2)) by_text[picked.sample->text] = picked.picks;
  EXPECT_THAT(by_text["a"], ElementsAre("hack", "high_w"));
  EXPECT_THAT(by_text["b"], ElementsAre("hack", "low_w", "mistake"));
  EXPECT_THAT(by_text["c"], ElementsAre("solve", "low_w"));
  EXPECT_THAT(by_text["d"], ElementsAre("high_w", "mistake"));
  EXPECT_THAT(by_text["e"], ElementsAre("solve"));
}

TEST(SamplePicker, ShowsNoTextTwiceAndTakesSamplesWithoutW) {
  std::vector<RolloutSample> samples(5, Sample(1, true, "same"));
  samples.push_back(Sample(1, true, "other"));
  samples.back().w.reset();
  const std::vector<PickedSample> picked = PickSamples(samples, 4);
  ASSERT_EQ(picked.size(), 2u);
  EXPECT_THAT(picked[1].picks, ElementsAre("hack"));
}

TEST(SamplePicker, NothingFromNothing) { EXPECT_TRUE(PickSamples({}, 4).empty()); }

}  // namespace
}  // namespace evilmoe
