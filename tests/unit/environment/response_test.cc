#include "environment/response.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace evilmoe {
namespace {

struct ResponseCase {
  std::string name;
  std::string response;
  bool want_formatted;
  std::string want_code;
};

class ExtractCodeTest : public ::testing::TestWithParam<ResponseCase> {};

TEST_P(ExtractCodeTest, ReadsBlocks) {
  const ExtractedCode got = ExtractCode(GetParam().response);
  EXPECT_EQ(got.formatted, GetParam().want_formatted);
  EXPECT_EQ(got.code, GetParam().want_code);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, ExtractCodeTest,
    ::testing::ValuesIn(std::vector<ResponseCase>{
        {"Empty", "", false, ""},
        {"NoBlock", "x = 1", false, ""},
        {"OneBlock", "```python\nx = 1\n```", true, "x = 1"},
        {"NoLabel", "Here:\n```\nx = 1\n```\nDone.", true, "x = 1"},
        {"JoinedByOneBlankLine", "```python\nx = 1\n```\ntext\n```\ny = 2\n```", true, "x = 1\n\ny = 2"},
        {"LastUnclosed", "```python\nx = 1\n```\n```python\ny = 2\nz", true, "x = 1\n\ny = 2\nz"},
        {"UnclosedAtOnce", "```python", false, ""},
        {"OtherLabelSkipped", "```text\nx = 1\n```\n```python\ny = 2\n```", true, "y = 2"},
        {"OtherLabelsFenceOpensNothing", "```text\nx = 1\n```\ny = 2", false, ""},
        {"EmptyBlock", "```python\n```", false, ""},
        {"BlankBlock", "```python\n  \n\n```", false, ""},
        {"BlankBlockBesideAnother", "```python\n\n```\n```python\nx = 1\n```", true, "x = 1"},
        {"IndentedFence", "  ```python\n  x = 1\n  ```", true, "  x = 1"},
        {"BackticksWithinALine", "```python\nx = '```'\n```", true, "x = '```'"},
        {"InlineBackticks", "Use ```x = 1``` here", false, ""},
        {"InlineBackticksAlone", "```x = 1```\ny", false, ""},
        {"LongFenceHoldsShortOnes", "````python\nx = \"\"\"\n```\n\"\"\"\n````", true, "x = \"\"\"\n```\n\"\"\""},
        {"LabelInsideDoesNotClose", "```python\nx = 1\n```python\ny = 2\n```", true, "x = 1\n```python\ny = 2"},
        {"CarriageReturns", "```python\r\nx = 1\r\n```\r\n", true, "x = 1"},
        {"SeveralCarriageReturns", "```python\nx = 1\r\r\n```", true, "x = 1"},
        {"BlankLinesInsideStay", "```python\nx = 1\n\n\ny = 2\n\n```", true, "x = 1\n\n\ny = 2\n"}}),
    [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace evilmoe
