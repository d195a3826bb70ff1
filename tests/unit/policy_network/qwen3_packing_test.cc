#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "network_fixtures.h"
#include "policy/packed_batch.h"
#include "policy/qwen3.h"
#include "policy/token_log_probs.h"

namespace evilmoe {
namespace {

struct Heads {
  int64_t query, key_value;
};

std::string NameOf(const ::testing::TestParamInfo<Heads>& c) {
  return "Heads" + std::to_string(c.param.query) + "Over" + std::to_string(c.param.key_value);
}

// One prompt, four completions of different lengths.
struct Group {
  std::vector<int32_t> prompt = RandomIds(11, 1);
  std::vector<std::vector<int32_t>> completions = {RandomIds(6, 2), RandomIds(13, 3), RandomIds(1, 4), RandomIds(9, 5)};
};

class PackingTest : public ::testing::TestWithParam<Heads> {
 protected:
  // Value and gradients of a loss over some rows of one pack.
  struct Outcome {
    std::vector<at::Tensor> logps;      // one a completion
    std::vector<at::Tensor> gradients;  // of the adapter, then of w of each completion
  };

  // Σ of log-probabilities of the completions' tokens (each row predicts its own id: any target would do), weighted
  // differently for each completion. `packs`: what is forwarded together; `completion_of`: each segment's, or -1.
  // Rows of a completion have its w, the prompt's 0.5, so gradients go through both; `scale`: factor on what each
  // completion sends into the prompt.
  struct Plan {
    std::vector<std::vector<Segment>> packs;
    std::vector<std::vector<int>> completion_of;
    std::vector<int64_t> skip;  // leading rows of a completion's segment that belong to the prompt, one a pack
  };
  Outcome Run(const Plan& plan, const std::vector<float>& scale, const ForwardOptions& base = {}) {
    const at::Tensor w = at::tensor({0.9f, 0.3f, 1.0f, 0.6f}).requires_grad_(true);
    LowRankProjector projector(weights_, {});
    Outcome outcome;
    outcome.logps.resize(4);
    for (size_t p = 0; p < plan.packs.size(); ++p) {
      const PackedBatch batch = Pack(plan.packs[p]);
      projector.set_w(RowsOfW(batch, plan, p, w));
      ForwardOptions options = base;
      if (!scale.empty()) {
        std::vector<float> scale_S;
        for (const int c : plan.completion_of[p]) scale_S.push_back(c < 0 ? 1.0f : scale[static_cast<size_t>(c)]);
        options.prefix_gradient_scale_S = at::tensor(scale_S);
      }
      const at::Tensor hidden = Qwen3Hidden(weights_, batch, projector, options);
      at::Tensor loss = at::zeros({});
      for (size_t s = 0; s < batch.segments.size(); ++s) {
        const int c = plan.completion_of[p][s];
        if (c < 0) continue;
        const int64_t skip = plan.skip[p];
        const int64_t rows = batch.segment_length(static_cast<int>(s)) - skip;
        const int64_t begin = batch.segment_begin(static_cast<int>(s)) + skip;
        const at::Tensor logp =
            ScoreTokens(hidden.narrow(0, begin, rows), weights_.head, batch.ids_N.narrow(0, begin, rows)).logp_N;
        loss = loss + (c + 1) * logp.sum();
        outcome.logps[static_cast<size_t>(c)] = logp.detach();
      }
      loss.backward();
    }
    outcome.gradients = projector.TakeGradients();
    outcome.gradients.push_back(w.grad());
    return outcome;
  }

  static at::Tensor RowsOfW(const PackedBatch& batch, const Plan& plan, size_t p, const at::Tensor& w) {
    std::vector<int64_t> index;
    for (size_t s = 0; s < batch.segments.size(); ++s) {
      const int c = plan.completion_of[p][s];
      for (int64_t t = 0; t < batch.segment_length(static_cast<int>(s)); ++t) {
        index.push_back(c < 0 || t < plan.skip[p] ? 4 : c);
      }
    }
    return at::cat({w, at::full({1}, 0.5)}).index_select(0, at::tensor(index, at::kLong)).unsqueeze(1);
  }

  // The prompt once, a child a completion.
  Plan Shared() const {
    Plan plan{.packs = {{{.ids = group_.prompt}}}, .completion_of = {{-1}}, .skip = {0}};
    for (size_t c = 0; c < group_.completions.size(); ++c) {
      plan.packs[0].push_back({.ids = group_.completions[c], .prefix = 0});
      plan.completion_of[0].push_back(static_cast<int>(c));
    }
    return plan;
  }
  // Prompt and completion as one segment a completion, all in one pack.
  Plan PlainPacked() const {
    Plan plan{.packs = {{}}, .completion_of = {{}}, .skip = {static_cast<int64_t>(group_.prompt.size())}};
    for (size_t c = 0; c < group_.completions.size(); ++c) {
      std::vector<int32_t> ids = group_.prompt;
      ids.insert(ids.end(), group_.completions[c].begin(), group_.completions[c].end());
      plan.packs[0].push_back({.ids = ids});
      plan.completion_of[0].push_back(static_cast<int>(c));
    }
    return plan;
  }
  // One pack a sequence.
  static Plan OneByOne(const Plan& packed) {
    Plan plan;
    for (size_t s = 0; s < packed.packs[0].size(); ++s) {
      plan.packs.push_back({packed.packs[0][s]});
      plan.completion_of.push_back({packed.completion_of[0][s]});
      plan.skip.push_back(packed.skip[0]);
    }
    return plan;
  }
  // One pack a completion, each with a prompt segment of its own.
  Plan SharedOneByOne() const {
    Plan plan;
    for (size_t c = 0; c < group_.completions.size(); ++c) {
      plan.packs.push_back({{.ids = group_.prompt}, {.ids = group_.completions[c], .prefix = 0}});
      plan.completion_of.push_back({-1, static_cast<int>(c)});
      plan.skip.push_back(0);
    }
    return plan;
  }

  static void ExpectEqual(const Outcome& got, const Outcome& want) {
    for (size_t c = 0; c < want.logps.size(); ++c) EXPECT_LT(MaxDifference(got.logps[c], want.logps[c]), 1e-5) << c;
    EXPECT_LT(RelativeDifference(got.gradients, want.gradients), 1e-5);
  }

  const Qwen3Weights weights_ = RandomNetwork(GetParam().query, GetParam().key_value);
  const Group group_{};
};

TEST_P(PackingTest, PackedEqualsOneByOne) { ExpectEqual(Run(PlainPacked(), {}), Run(OneByOne(PlainPacked()), {})); }

TEST_P(PackingTest, ASharedPromptEqualsAPromptForEverySequence) {
  ExpectEqual(Run(Shared(), {}), Run(OneByOne(PlainPacked()), {}));
}

TEST_P(PackingTest, EachCompletionThinsItsOwnGradientIntoTheSharedPrompt) {
  const std::vector<float> scale = {0.1f, 0.7f, 0.0f, 0.4f};
  ExpectEqual(Run(Shared(), scale), Run(SharedOneByOne(), scale));
  EXPECT_GT(RelativeDifference(Run(Shared(), scale).gradients, Run(Shared(), {}).gradients), 1e-3);
}

TEST_P(PackingTest, NaiveAttentionEqualsFused) {
  const ForwardOptions naive{.attention = AttentionKind::kNaive};
  const std::vector<float> scale = {0.1f, 0.7f, 0.0f, 0.4f};
  ExpectEqual(Run(PlainPacked(), {}), Run(PlainPacked(), {}, naive));
  ExpectEqual(Run(Shared(), {}), Run(Shared(), {}, naive));
  ExpectEqual(Run(Shared(), scale), Run(Shared(), scale, naive));
}

INSTANTIATE_TEST_SUITE_P(Gqa, PackingTest, ::testing::Values(Heads{4, 1}, Heads{3, 3}, Heads{4, 2}), NameOf);

// Two prompts with children, and roots without: values and gradients of q, k, v themselves.
TEST(PackedAttention, FusedAgreesWithNaiveInDoublePrecision) {
  const PackedBatch batch = Pack({{RandomIds(5, 1)},
                                  {RandomIds(17, 2)},
                                  {RandomIds(3, 3), 0},
                                  {RandomIds(1, 4)},
                                  {RandomIds(8, 5), 1},
                                  {RandomIds(16, 6)},
                                  {RandomIds(2, 7), 0},
                                  {RandomIds(4, 8), 1}});
  const at::Tensor scale_S = at::tensor({1.0, 1.0, 0.3, 1.0, 0.0, 1.0, 0.9, 0.5}, at::kDouble);
  for (const int64_t kv_heads : {1, 2, 4}) {
    for (const bool scaled : {false, true}) {
      std::vector<std::vector<at::Tensor>> outcomes;
      for (const AttentionKind kind : {AttentionKind::kFused, AttentionKind::kNaive}) {
        const auto leaf = [&](uint64_t seed, int64_t heads) {
          return NormalTensor(seed, batch.num_tokens(), heads * 8, 1.0)
              .to(at::kDouble)
              .view({batch.num_tokens(), heads, 8})
              .requires_grad_(true);
        };
        const at::Tensor q = leaf(1, 4), k = leaf(2, kv_heads), v = leaf(3, kv_heads);
        const PackedAttention attention(batch, kind, scaled ? std::optional<at::Tensor>(scale_S) : std::nullopt);
        const at::Tensor out = attention.Run(q, k, v);
        (out * NormalTensor(4, out.size(0), out.size(1), 1.0).to(at::kDouble)).sum().backward();
        outcomes.push_back({out.detach(), q.grad(), k.grad(), v.grad()});
      }
      EXPECT_LT(RelativeDifference(outcomes[0], outcomes[1]), 1e-12) << kv_heads << " kv heads, scaled " << scaled;
    }
  }
}

}  // namespace
}  // namespace evilmoe
