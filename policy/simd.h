// A register of EVILMOE_LANES floats as GCC's vector type, and what kernels do with one. Included once by a file that is
// compiled for one instruction set; everything is local to it.
#pragma once

#include <cstdint>
#include <cstring>

namespace evilmoe {
namespace {

constexpr int64_t kLanes = EVILMOE_LANES;

typedef float Vec __attribute__((vector_size(EVILMOE_LANES * 4)));
typedef int32_t IntVec __attribute__((vector_size(EVILMOE_LANES * 4)));
typedef uint32_t BitVec __attribute__((vector_size(EVILMOE_LANES * 4)));
typedef uint16_t HalfVec __attribute__((vector_size(EVILMOE_LANES * 2)));

inline Vec Load(const float* p) {
  Vec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void Store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }
inline Vec Splat(float x) { return x - Vec{}; }
inline Vec AsFloats(BitVec bits) { return reinterpret_cast<Vec>(bits); }
// bf16 numbers of one register's width, as fp32.
inline Vec Load(const uint16_t* p) {
  HalfVec half;
  std::memcpy(&half, p, sizeof half);
  return AsFloats(__builtin_convertvector(half, BitVec) << 16);
}

inline float Sum(Vec v) {
  float sum = 0;
  for (int64_t i = 0; i < kLanes; ++i) sum += v[i];
  return sum;
}

// e^x for x <= 88: 2^n · e^f with |f| <= ln(2)/2, a polynomial of degree 6 (Cephes' coefficients); 0 below −87.
inline Vec Exp(Vec x) {
  const Vec low = Splat(-87.0f);
  const IntVec is_low = x < low;
  const Vec clamped = is_low ? low : x;
  const Vec magic = Splat(12582912.0f);  // 1.5 · 2^23: adding it rounds to an integer
  const Vec shifted = clamped * 1.44269504088896341f + magic;
  const Vec n = shifted - magic;
  const Vec f = (clamped - n * 0.693359375f) - n * -2.12194440e-4f;
  Vec p = f * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * f + 8.3334519073e-3f;
  p = p * f + 4.1665795894e-2f;
  p = p * f + 1.6666665459e-1f;
  p = p * f + 5.0000001201e-1f;
  p = p * (f * f) + f + 1.0f;
  const IntVec exponent = (reinterpret_cast<IntVec>(shifted) - 0x4B400000 + 127) << 23;
  const Vec result = p * reinterpret_cast<Vec>(exponent);
  return is_low ? Splat(0.0f) : result;
}

}  // namespace
}  // namespace evilmoe
