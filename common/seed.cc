#include "common/seed.h"

#include <bit>
#include <cmath>

namespace evilmoe {
namespace {

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15u;

// splitmix64's finaliser: every input bit reaches every output bit.
uint64_t Finalise(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

uint64_t Mix(uint64_t x) { return Finalise(x + kGolden); }

// Natural logarithm of p in (0, 1] out of +, *, / alone: x = m·2^e, log m by the atanh series.
double PortableLog(double p) {
  const uint64_t bits = std::bit_cast<uint64_t>(p);
  int exponent = static_cast<int>((bits >> 52) & 0x7ff) - 1023;
  double m = std::bit_cast<double>((bits & 0x000fffffffffffffu) | 0x3ff0000000000000u);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    ++exponent;
  }
  const double t = (m - 1) / (m + 1);
  const double t2 = t * t;
  double sum = 0;
  for (int k = 27; k >= 1; k -= 2) sum = sum * t2 + 1.0 / k;
  return 2 * t * sum + exponent * 0.6931471805599453;
}

template <size_t N>
double Polynomial(const double (&c)[N], double x) {
  double sum = c[0];
  for (size_t i = 1; i < N; ++i) sum = sum * x + c[i];
  return sum;
}

// Inverse of the standard normal CDF, P. J. Acklam's coefficients (2003).
double InverseNormalCdf(double p) {
  constexpr double kA[] = {-3.969683028665376e+01, 2.209460984245205e+02,  -2.759285104469687e+02,
                           1.383577518672690e+02,  -3.066479806614716e+01, 2.506628277459239e+00};
  constexpr double kB[] = {-5.447609879822406e+01, 1.615858368580409e+02,  -1.556989798598866e+02,
                           6.680131188771972e+01,  -1.328068155288572e+01, 1.0};
  constexpr double kC[] = {-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00,
                           -2.549732539343734e+00, 4.374664141464968e+00,  2.938163982698783e+00};
  constexpr double kD[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00, 3.754408661907416e+00,
                           1.0};
  constexpr double kTail = 0.02425;
  if (p < kTail) {
    const double q = std::sqrt(-2 * PortableLog(p));
    return Polynomial(kC, q) / Polynomial(kD, q);
  }
  if (p > 1 - kTail) return -InverseNormalCdf(1 - p);
  const double q = p - 0.5;
  const double r = q * q;
  return Polynomial(kA, r) * q / Polynomial(kB, r);
}

}  // namespace

uint64_t StreamSeed(uint64_t run_seed, std::string_view stream, uint64_t index) {
  uint64_t h = Mix(run_seed);
  for (const char c : stream) h = Mix(h ^ static_cast<unsigned char>(c));
  return Mix(h ^ index);
}

uint64_t CounterBits(uint64_t seed, uint64_t counter) { return Finalise(seed + (counter + 1) * kGolden); }

double CounterUniform(uint64_t seed, uint64_t counter) {
  return static_cast<double>(CounterBits(seed, counter) >> 11) * 0x1.0p-53;
}

double CounterNormal(uint64_t seed, uint64_t counter) {
  // The middle of each of 2^53 cells: never 0 or 1.
  return InverseNormalCdf((static_cast<double>(CounterBits(seed, counter) >> 11) + 0.5) * 0x1.0p-53);
}

int64_t RandomStream::Int(int64_t low, int64_t high) {
  const uint64_t range = static_cast<uint64_t>(high) - static_cast<uint64_t>(low) + 1;
  if (range == 0) return static_cast<int64_t>(Bits());
  // Rejects the ragged end, so that every value is equally likely.
  const uint64_t limit = UINT64_MAX - UINT64_MAX % range;
  uint64_t bits = Bits();
  while (bits >= limit) bits = Bits();
  return static_cast<int64_t>(static_cast<uint64_t>(low) + bits % range);
}

}  // namespace evilmoe
