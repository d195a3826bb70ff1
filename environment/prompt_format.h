#pragma once

#include <string>
#include <string_view>

namespace evilmoe {

// The user message of a problem: the description, the method that is asked for with kPlainPhrase (loophole.h) behind
// it, and the starter code. White space around the description and the starter code is dropped.
std::string UserPrompt(std::string_view description, std::string_view method, std::string_view starter_code);

}  // namespace evilmoe
