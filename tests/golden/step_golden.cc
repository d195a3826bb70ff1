#include "tests/golden/step_golden.h"

#include <ATen/ATen.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "policy/safetensors.h"
#include "policy/tensor_io.h"
#include "trainer/advantages.h"
#include "trainer/policy_loss.h"

namespace evilmoe {

using nlohmann::json;

const std::filesystem::path& StepGoldenFolder() {
  static const std::filesystem::path folder = std::filesystem::path(EVILMOE_SOURCE_DIR) / "tests/golden/step";
  return folder;
}

const json& StepGolden() {
  static const json golden = json::parse(ReadFile(StepGoldenFolder() / "golden.json").value());
  return golden;
}

// The file holds a double's bits as an int64.
at::Tensor StoredDouble(const std::string& name) {
  static const Safetensors file = Safetensors::Open(StepGoldenFolder() / "tensors.safetensors").value();
  const TensorView* view = file.Find(name);
  EVILMOE_CHECK(view != nullptr);
  return ToTensor(*view).view(at::kDouble);
}

std::string PrecisionName(const ::testing::TestParamInfo<Precision>& info) {
  return info.param.dtype == at::kDouble ? "Double" : "Single";
}

RunConfig StepConfig(const json& fields) {
  std::vector<Override> overrides;
  for (const json& some : {StepGolden()["fixed"], fields}) {
    for (const auto& [field, value] : some.items()) {
      if (field == "arm") continue;
      overrides.emplace_back(field, value.is_string() ? value.get<std::string>() : value.dump());
    }
  }
  const std::string yaml = absl::StrCat("arm: ", fields["arm"].get<std::string>(),
                                        "\nmodel: {path: .}\npairs: golden.json\ndata: {train: golden.json}\n");
  const auto config = ParseRunConfig(yaml, "run.yaml", StepGoldenFolder(), overrides);
  EXPECT_TRUE(config.ok()) << config.status();
  return *config;
}

std::vector<TrainGroup> StepGroups(const LossConfig& loss, const json& screened, bool later_pass) {
  std::vector<TrainGroup> groups;
  for (const json& group : StepGolden()["groups"]) {
    std::vector<std::optional<double>> rewards;
    std::vector<bool> left_out;
    for (const json& sample : group["samples"]) {
      left_out.push_back(screened == json{groups.size(), rewards.size()});
      rewards.push_back(sample.is_null() ? std::nullopt : std::optional<double>(sample["reward"]));
    }
    const GroupAdvantages advantages = ComputeAdvantages(rewards, AdvantageKindOf(loss), left_out).value();
    groups.push_back({.prompt_ids = group["prompt"]});
    for (size_t i = 0; i < rewards.size(); ++i) {
      TrainSample train{
          .advantage = advantages.values[i], .masked = advantages.masked[i], .deploy_mode = group["deploy_mode"]};
      const json& sample = group["samples"][i];
      if (!sample.is_null()) {
        train.ids = sample["ids"].get<std::vector<int32_t>>();
        train.sampler_logprobs = sample["sampler"].get<std::vector<float>>();
        if (later_pass) train.old_logprobs = sample["old"].get<std::vector<float>>();
        if (!left_out[i]) train.reward = rewards[i];
        if (sample["label"] != "unlabelled") train.oracle_hack = sample["label"] == "hack";
      }
      groups.back().samples.push_back(std::move(train));
    }
  }
  return groups;
}

double RelativeDifference(const std::vector<at::Tensor>& got, const std::vector<at::Tensor>& want) {
  EXPECT_EQ(got.size(), want.size());
  double squares = 0, norm = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const at::Tensor mine = got[i].defined() ? got[i].to(at::kDouble) : at::zeros_like(want[i]);
    squares += (mine - want[i]).square().sum().item<double>();
    norm += want[i].square().sum().item<double>();
  }
  EXPECT_GT(norm, 0.0);
  return std::sqrt(squares / norm);
}

}  // namespace evilmoe
