#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "rollout_workers/offline_verbs.h"

namespace evilmoe {

// A model folder with the tiny tokenizer and a random network of its vocabulary, and an adapter off its init, on disk as
// a user has them.
class VerbFixture : public ::testing::Test {
 protected:
  struct Result {
    int exit_code = -1;
    std::vector<nlohmann::json> lines;
    std::string errors;
  };

  VerbFixture();
  ~VerbFixture() override;

  Result Score(const std::string& input) const;
  Result Generate(const std::string& input) const;
  std::filesystem::path model() const { return folder_ / "model"; }
  std::filesystem::path adapter() const { return folder_ / "checkpoint" / "adapter.safetensors"; }

  PolicySource source_;
  GenerateOptions options_;

 private:
  std::filesystem::path folder_;
};

}  // namespace evilmoe
