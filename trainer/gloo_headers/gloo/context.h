#pragma once

#include <chrono>

// What c10d/ProcessGroupGloo.hpp says of Gloo's context (gloo_headers/README.md).
namespace gloo {

class Context {
 public:
  void setTimeout(std::chrono::milliseconds timeout);
};

}  // namespace gloo
