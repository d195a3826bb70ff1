#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/seed.h"

namespace evilmoe {

// Random inputs of the nano families, written as Python.

std::vector<int> RandomInts(RandomStream& stream, int count, int low = -20, int high = 60);
std::string RandomWord(RandomStream& stream, int length, std::string_view alphabet = "abcdefghijklmnopqrstuvwxyz");
// One of a fixed list of three-letter words.
std::string ListedWord(RandomStream& stream);

std::string PythonList(const std::vector<int>& values);
std::string PythonList(const std::vector<std::string>& words);
// Of a text without quotes, backslashes and control characters.
std::string PythonString(std::string_view text);

}  // namespace evilmoe
