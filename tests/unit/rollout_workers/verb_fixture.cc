#include "tests/unit/rollout_workers/verb_fixture.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <sstream>

#include "common/file.h"
#include "tests/unit/policy/tiny_tokenizer.h"
#include "tests/unit/policy_network/tiny_network.h"

namespace evilmoe {
namespace {

Qwen3Weights NetworkOfTinyTokenizer() {
  Qwen3Config config = TinyNetwork().config;
  config.vocab_size = 265;
  config.eos_ids = {262};
  return InitQwen3(config, 5);
}

std::string AdapterBytes(const Qwen3Config& config) {
  const c10::NoGradGuard no_grad;
  auto adapter = Lora2r::Init(config, TinyAdapterOptions());
  EXPECT_TRUE(adapter.ok()) << adapter.status();
  uint64_t seed = 100;
  for (const AdapterModule& m : adapter->modules()) {
    m.a.add_(NormalTensor(seed++, m.a.size(0), m.a.size(1), 0.3));
    m.b.add_(NormalTensor(seed++, m.b.size(0), m.b.size(1), 0.3));
  }
  return adapter->Serialize().value();
}

std::vector<nlohmann::json> Lines(const std::string& text) {
  std::vector<nlohmann::json> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

}  // namespace

VerbFixture::VerbFixture() {
  std::string pattern = (std::filesystem::temp_directory_path() / "evilmoe_verbs_XXXXXX").string();
  folder_ = mkdtemp(pattern.data());
  std::filesystem::create_directory(model());
  std::filesystem::create_directory(adapter().parent_path());
  const Qwen3Weights weights = NetworkOfTinyTokenizer();
  EXPECT_TRUE(SaveQwen3(weights, "F32", model()).ok());
  EXPECT_TRUE(WriteFileAtomic(model() / "tokenizer.json", TinyTokenizerJson().dump()).ok());
  EXPECT_TRUE(WriteFileAtomic(adapter(), AdapterBytes(weights.config)).ok());
  source_.model = model();
  options_.sampling.max_tokens = 12;
  options_.ignore_eos = true;
}

VerbFixture::~VerbFixture() { std::filesystem::remove_all(folder_); }

VerbFixture::Result VerbFixture::Score(const std::string& input) const {
  std::istringstream in(input);
  std::ostringstream out, errors;
  const int exit_code = RunScore(source_, in, out, errors);
  return {exit_code, Lines(out.str()), errors.str()};
}

VerbFixture::Result VerbFixture::Generate(const std::string& input) const {
  std::istringstream in(input);
  std::ostringstream out, errors;
  const int exit_code = RunGenerate(source_, options_, in, out, errors);
  return {exit_code, Lines(out.str()), errors.str()};
}

}  // namespace evilmoe
