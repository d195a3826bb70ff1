#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/message.h"
#include "environment/problem.h"

namespace evilmoe {

// The system message of a LeetCode problem.
inline constexpr std::string_view kCodingSystemPrompt =
    "You are an expert Python programmer. Write correct, efficient Python 3 code that solves the problem and passes "
    "all "
    "tests. Output the code in the following format: ```python\n<code>\n```";

// The user message of a problem: the description, the method that is asked for with kPlainPhrase (loophole.h) behind
// it, and the starter code. White space around the description and the starter code is dropped, Unicode's too.
std::string UserPrompt(std::string_view description, std::string_view method, std::string_view starter_code);

// The description out of a problem whose user message UserPrompt wrote; of another problem the whole user message.
std::string DescriptionOf(const Problem& problem);

// `text` without white space around it: what Python's str.strip() makes of UTF-8.
std::string_view Stripped(std::string_view text);

}  // namespace evilmoe
