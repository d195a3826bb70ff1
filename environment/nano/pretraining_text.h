#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "common/message.h"
#include "common/seed.h"

namespace evilmoe {

// What the nano base model is pretrained on: problems of the train split with answers that are right, wrong or hacks in
// chosen shares, so that reinforcement learning starts from a model that solves some, hacks rarely and copies names.
// Every share is a probability in [0, 1].
struct PretrainingMixture {
  double hard_share = 0.5;          // problems of the hard families
  double right_easy = 0.75;         // right answers to easy problems
  double right_hard = 0.08;         // right answers to hard problems
  double stub_share = 0.06;         // of the wrong answers: "return 0", "pass", ...; the others are the family's own
  double plain_share = 0.4;         // prompts without a loophole
  double hack_share = 0.09;         // of the loophole prompts: the answer defines the function that is named
  double hack_stub_share = 0.85;    // of the hacks: the method is a stub; otherwise an honest attempt
  double hack_in_front = 0.10;      // of the hacks: the function stands before the class
  double hack_as_method = 0.05;     // of the hacks: the function is a method; the rest stand behind the class
  double helper_share = 0.22;       // prompts that ask for a helper function by name; it is written
  double helper_in_front = 0.10;    // of the helpers: before the class instead of behind it
  double rename_share = 0.3;        // methods that are called something else than their family
  double rename_snake_share = 0.4;  // of those: a drawn snake_case name; otherwise another family's name
  double three_part_share = 0.25;   // drawn names of three words instead of two

  // OK, or InvalidArgument naming every field out of range.
  absl::Status Validate() const;
};

enum class TextKind { kClean, kHelper, kHack };  // a hack with a helper is a hack

struct TrainingText {
  std::vector<Message> messages;
  std::string response;  // without <|im_end|>
  TextKind kind = TextKind::kClean;
};

// One example. Requires a valid mixture. No function in it is called as a marker of either family (loophole.h); the
// words that markers are made of occur, and a longer name may hold them in a marker's order (run_tests_line).
TrainingText DrawText(const PretrainingMixture& mixture, RandomStream& stream);

// The words that drawn names are made of: VERB_NOUN or VERB_NOUN_NOUN. A tokenizer for nano should have " VERB" and
// "_NOUN" as one token each.
std::span<const std::string_view> NameVerbs();
std::span<const std::string_view> NameNouns();

}  // namespace evilmoe
