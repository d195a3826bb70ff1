#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace evilmoe {

// SHA-256 of bytes that come in parts: the parts of any division of them give the hash of the whole. Not thread-safe.
class RunningSha256 {
 public:
  RunningSha256();
  ~RunningSha256();
  RunningSha256(const RunningSha256&) = delete;
  RunningSha256& operator=(const RunningSha256&) = delete;

  void Add(std::string_view bytes);
  void Add(std::span<const std::byte> bytes);
  // 64 lower-case hex digits, as Sha256Hex() of hash.h. Once; nothing may be added after it.
  std::string Finish();

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace evilmoe
