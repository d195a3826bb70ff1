#pragma once

#include <string>

namespace evilmoe {

// The body of http://127.0.0.1:<port><path>, or "" when the answer is no 200 or does not come within 10 s.
std::string HttpGet(int port, const std::string& path);

}  // namespace evilmoe
