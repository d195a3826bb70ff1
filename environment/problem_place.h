#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace evilmoe {

// "train.jsonl: line 12", where a problem file that was read before has the problem, for a message about it; the path
// alone when it is not found there any more.
std::string PlaceOfProblem(const std::filesystem::path& file, int64_t id);

}  // namespace evilmoe
