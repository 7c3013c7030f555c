// A model's weights, where they stand in its file.
#pragma once

#include <string>
#include <vector>

#include "model_file.h"
#include "settings.h"

namespace attento {

// The gain and the bias of a normalization; no gain where nothing is normalized.
struct Norm {
  const float* gain = nullptr;
  const float* bias = nullptr;
};

struct FeedForwardWeights {
  Matrix inner;  // gated: the gate's outputs stand before the inner ones
  Matrix outer;
  Norm norm;
};

struct SelfAttentionWeights {
  Matrix qkv;  // queries, keys and values of the same vector in one product
  Matrix output;
  Norm norm;
};

struct CrossAttentionWeights {
  Matrix query;
  Matrix keys_values;
  Matrix output;
  Norm norm;
};

struct EncoderLayer {
  SelfAttentionWeights self;
  FeedForwardWeights feed_forward;
};

struct DecoderLayer {
  SelfAttentionWeights self;
  CrossAttentionWeights cross;  // empty where there is no source to read
  FeedForwardWeights feed_forward;
};

class Model {
 public:
  // Map a file and look everything up that its settings ask for. Throws FileError.
  explicit Model(const std::string& path);

  ModelFile file;
  Settings settings;
  Matrix source_embedding, target_embedding, output;
  Norm source_norm, target_norm, encoder_norm, decoder_norm;
  const float* source_positions = nullptr;  // learned ones, [max, d_model]
  const float* target_positions = nullptr;
  int source_positions_count = 0;
  int target_positions_count = 0;
  const float* source_relations = nullptr;  // [buckets, heads]
  const float* target_relations = nullptr;
  const float* alibi_slopes = nullptr;    // [heads]
  const double* rotary_angles = nullptr;  // [d_key / 2]
  std::vector<EncoderLayer> encoder;
  std::vector<DecoderLayer> decoder;

 private:
  Norm norm(const std::string& name) const;
  SelfAttentionWeights self_attention(const std::string& layer) const;
  FeedForwardWeights feed_forward(const std::string& layer) const;
  Matrix matrix(const std::string& name, int outputs, int inputs) const;
  void read_positions();
};

// The vector of one output of a packed matrix: a token's, of an embedding.
void unpack_row(const Matrix& matrix, int output, float* row);

}  // namespace attento
