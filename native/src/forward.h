// The model's pass: it reads sources, and goes on with all hypotheses of many sentences by one token.
//
// Reads like the papers: Vaswani et al. 2017, section 3. One thread, room of its own; the weights are everybody's.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "buffer.h"
#include "cache.h"
#include "kernels/kernels.h"
#include "model.h"
#include "places.h"

namespace attento {

// One sentence as the model sees it: what was read, and the hypotheses that grow.
struct Sentence {
  std::vector<std::int32_t> source;  // with eos; of a language model, all that is read before the search begins
  int slots = 1;                     // the most hypotheses there can be at once

  // What the hypotheses read next, and from which hypothesis of the step before each goes on. All have the same length.
  std::vector<std::int32_t> tokens;
  std::vector<int> parents;

  int seen = 0;           // places that were read: of the target, and of the source where both stand in one row
  int target_start = 0;   // the place of the target's first token
  KeyValues target_keys;  // what self-attention sees
  KeyValues source_keys;  // what attention to the source sees; projected once
  Ancestry ancestry;
};

class Forward {
 public:
  Forward(const Model& model, const Kernels& kernels) : model_(model), kernels_(kernels), places_(model) {}

  // Read the sources of some sentences. Throws std::bad_alloc.
  void read(std::span<Sentence* const> sentences);

  // Let every hypothesis of some sentences read its next token; return the logits of the token after it, a row for each
  // hypothesis, in order. They may be overwritten, and are there until the next step. Throws std::bad_alloc, and then
  // the same step can be taken again, of all or of some of the sentences.
  float* step(std::span<Sentence* const> sentences);

  std::int64_t logits_stride() const { return model_.output.padded_outputs(); }

  // Keep the weights of every layer's attention to the source, [layers][heads][source], at each step from now on, of one
  // sentence with one hypothesis. A decoder-only model attends to the source as a part of its one text.
  void watch() { watching_ = true; }
  const std::vector<float>& watched() const { return watched_; }

 private:
  struct Row {
    Sentence* sentence;
    int hypothesis;
    int place;  // where the token stands
    int seen;   // how many places it may attend to, its own among them
  };

  void encode(std::span<Sentence* const> sentences);
  void read_prefix(Sentence& sentence);
  void read_block(Sentence& sentence, int first, int last);
  void decode();
  void embed(const Matrix& embedding, std::int32_t token, float* hidden) const;
  void self_attention(int layer, const SelfAttentionWeights& weights);
  void cross_attention(int layer, const CrossAttentionWeights& weights);
  void attend_to_sources(int layer, const float* queries, float* contexts);
  void encoder_attention(const SelfAttentionWeights& weights, std::span<Sentence* const> sentences);
  void feed_forward(const FeedForwardWeights& weights);
  template <typename Sublayer>
  void residual(const Norm& norm, Sublayer sublayer);
  void normalize(const Norm& norm, const float* x, float* out);
  void multiply(const Matrix& matrix, const float* x, std::int64_t stride, Epilogue epilogue, float* out,
                std::int64_t out_stride);
  std::int64_t most_weights() const;

  const Model& model_;
  const Kernels& kernels_;
  Places places_;
  std::vector<Row> rows_;
  int count_ = 0;  // rows of `hidden_`
  Buffer hidden_, normalized_, wide_, narrow_, prepared_, scales_, weights_, logits_, keys_, values_;
  bool watching_ = false;
  std::vector<float> watched_;
};

}  // namespace attento
