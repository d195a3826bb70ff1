#pragma once

// What c10d/ProcessGroupGloo.hpp says of Gloo's transport (gloo_headers/README.md).
namespace gloo::transport {

class Device;

class UnboundBuffer {
 public:
  virtual ~UnboundBuffer() = 0;
};

}  // namespace gloo::transport
