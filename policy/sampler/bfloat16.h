#pragma once

#include <cstdint>
#include <cstring>

namespace evilmoe {

// bf16 is the upper half of an fp32 number.
inline float Bf16ToFloat(uint16_t number) {
  const uint32_t bits = uint32_t{number} << 16;
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// To nearest, ties to even. Finite numbers only.
inline uint16_t FloatToBf16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

}  // namespace evilmoe
