// usage: write_peft_adapters DIR     writes DIR/random_ab.safetensors and DIR/zero_b.safetensors (peft_cases.h)

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <filesystem>
#include <iostream>

#include "common/file.h"
#include "tests/golden/peft_cases.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: write_peft_adapters DIR\n";
    return 2;
  }
  const c10::NoGradGuard no_grad;
  const auto config =
      evilmoe::ReadQwen3Config(std::string(EVILMOE_SOURCE_DIR) + "/tests/golden/" + evilmoe::kPeftBase);
  if (!config.ok()) {
    std::cerr << config.status().message() << "\n";
    return 1;
  }
  for (const bool random_ab : {true, false}) {
    const auto bytes = evilmoe::PeftAdapter(*config, random_ab).Serialize();
    const std::filesystem::path file =
        std::filesystem::path(argv[1]) / (random_ab ? "random_ab.safetensors" : "zero_b.safetensors");
    const absl::Status written = bytes.ok() ? evilmoe::WriteFileAtomic(file, *bytes) : bytes.status();
    if (!written.ok()) {
      std::cerr << written.message() << "\n";
      return 1;
    }
  }
  return 0;
}
