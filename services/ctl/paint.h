#pragma once

#include <string>
#include <string_view>

namespace evilmoe {

enum class Tone { kPlain, kGood, kBad, kWarning, kQuiet };

// `text` in a colour where `on`; terminals only.
inline std::string Painted(const std::string& text, Tone tone, bool on) {
  constexpr const char* kCodes[] = {"", "\033[32m", "\033[31m", "\033[33m", "\033[2m"};
  if (!on || tone == Tone::kPlain || text.empty()) return text;
  return kCodes[static_cast<int>(tone)] + text + "\033[0m";
}

// Of a run's state.
inline Tone ToneOf(std::string_view state) {
  if (state == "succeeded") return Tone::kGood;
  if (state == "failed" || state == "interrupted") return Tone::kBad;
  if (state == "paused" || state == "pausing") return Tone::kWarning;
  return state == "cancelled" ? Tone::kQuiet : Tone::kPlain;
}

}  // namespace evilmoe
