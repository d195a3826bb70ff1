#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace evilmoe {

// Counter-based randomness: every number is a pure function of (seed, stream, index), so a draw does not
// depend on which worker makes it, in which order, or after how many restarts. Integer arithmetic and
// +, -, *, / and sqrt alone, so that every platform gets the same bits.

// Seed of one stream: same run seed and place, same seed.
uint64_t StreamSeed(uint64_t run_seed, std::string_view stream, uint64_t index);

// The `counter`-th number of the stream that `seed` names (splitmix64, Steele et al. 2014).
uint64_t CounterBits(uint64_t seed, uint64_t counter);

// Uniform in [0, 1), 53 bits.
double CounterUniform(uint64_t seed, uint64_t counter);

// Standard normal by summing 12 uniforms would bend the tails; this is Acklam's rational approximation of
// the inverse normal CDF (relative error below 1.2e-9), with the log of its tails computed without libm.
double CounterNormal(uint64_t seed, uint64_t counter);

// A sequence over one stream, for code that draws a variable number of times (generators, shuffles).
class RandomStream {
 public:
  explicit RandomStream(uint64_t seed) : seed_(seed) {}

  uint64_t Bits() { return CounterBits(seed_, counter_++); }
  double Uniform() { return CounterUniform(seed_, counter_++); }
  // Uniform in [low, high], both ends included. Requires low <= high.
  int64_t Int(int64_t low, int64_t high);
  bool Bernoulli(double probability) { return Uniform() < probability; }
  template <typename T>
  const T& Choice(const std::vector<T>& items) {
    return items[static_cast<size_t>(Int(0, static_cast<int64_t>(items.size()) - 1))];
  }
  template <typename T>
  void Shuffle(std::vector<T>& items) {
    for (size_t i = items.size(); i > 1; --i) {
      std::swap(items[i - 1], items[static_cast<size_t>(Int(0, static_cast<int64_t>(i) - 1))]);
    }
  }

 private:
  uint64_t seed_;
  uint64_t counter_ = 0;
};

}  // namespace evilmoe
