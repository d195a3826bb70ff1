// Prints samples of nano's pretraining mixture as JSON lines. For the tokenizer: {"text": ...}, in ChatML, then lines
// with the words of names, often enough for each to become one token. For `evilmoe-ctl pretrain` (--messages):
// {"messages": [...], "response": ...}.

#include <cstdint>
#include <iostream>
#include <string>

#include "CLI/CLI.hpp"
#include "common/seed.h"
#include "environment/nano/pretraining_text.h"
#include "nlohmann/json.hpp"

namespace evilmoe {
namespace {

// One line of words for about so many samples.
constexpr int kSamplesPerWordLine = 13;

void PrintLine(const std::string& text) { std::cout << nlohmann::json{{"text", text}}.dump() << '\n'; }

std::string ChatMl(const TrainingText& text) {
  std::string rendered;
  for (const Message& message : text.messages) {
    rendered += "<|im_start|>" + message.role + "\n" + message.content + "<|im_end|>\n";
  }
  return rendered + "<|im_start|>assistant\n<think>\n\n</think>\n\n" + text.response + "<|im_end|>";
}

void PrintCorpus(int samples, uint64_t seed) {
  RandomStream stream(StreamSeed(seed, "nano_corpus", 0));
  const PretrainingMixture mixture;
  for (int i = 0; i < samples; ++i) PrintLine(ChatMl(DrawText(mixture, stream)));
  std::string words;
  for (const std::string_view verb : NameVerbs()) words += " " + std::string(verb);
  for (const std::string_view noun : NameNouns()) words += "_" + std::string(noun);
  for (int i = 0; i < samples / kSamplesPerWordLine; ++i) PrintLine(words);
}

void PrintPretraining(int samples, uint64_t seed) {
  RandomStream stream(StreamSeed(seed, "nano_pretraining", 0));
  const PretrainingMixture mixture;
  for (int i = 0; i < samples; ++i) {
    const TrainingText text = DrawText(mixture, stream);
    nlohmann::ordered_json line = {{"messages", nlohmann::ordered_json::array()}, {"response", text.response}};
    for (const Message& message : text.messages) {
      line["messages"].push_back({{"role", message.role}, {"content", message.content}});
    }
    std::cout << line.dump() << '\n';
  }
}

}  // namespace
}  // namespace evilmoe

int main(int argc, char** argv) {
  CLI::App app{"Prints samples of nano's pretraining mixture as JSON lines."};
  int samples = 20000;
  uint64_t seed = 1;
  app.add_option("--samples", samples, "Samples of the pretraining mixture")->check(CLI::PositiveNumber);
  app.add_option("--seed", seed, "Seed of the samples");
  bool messages = false;
  app.add_flag("--messages", messages, "For pretraining instead of for the tokenizer");
  CLI11_PARSE(app, argc, argv);
  messages ? evilmoe::PrintPretraining(samples, seed) : evilmoe::PrintCorpus(samples, seed);
  std::cout.flush();
  return std::cout.good() ? 0 : 1;
}
