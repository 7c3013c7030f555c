// What a model is: the settings of its file, checked. The names are those of the Python package.
#pragma once

#include "kernels/kernels.h"
#include "model_file.h"

namespace attento {

enum class Architecture { encoder_decoder, decoder_only, language_model };
enum class Positions { none, sinusoidal, learned, rotary, alibi, relative };

struct Settings {
  Architecture architecture = Architecture::encoder_decoder;
  Number compute_type = Number::f32;
  int d_model = 0;
  int d_ff = 0;
  int num_heads = 0;
  int num_kv_heads = 0;
  int d_key = 0;
  int d_value = 0;
  int encoder_layers = 0;
  int decoder_layers = 0;
  int source_vocab_size = 0;
  int target_vocab_size = 0;
  Activation activation = Activation::relu;
  bool gated = false;
  bool centred = true;  // layer normalization, not rms
  float epsilon = 0;
  bool pre_norm = false;
  Positions positions = Positions::sinusoidal;
  bool halves = false;  // the order of the features of sinusoidal and rotary positions
  float attention_scale = 1;
  float embedding_scale = 1;
  bool embedding_norm = false;
  bool source_sees_all = false;
  int relative_buckets = 0;
  int relative_max_distance = 0;
  int max_source_length = 0;  // 0: no limit
  int max_target_length = 0;
  int pad = 0;
  int unk = 0;
  int bos = 0;
  int eos = 0;

  // Throws FileError.
  static Settings read(const ModelFile& file);

  int queries_width() const { return num_heads * d_key; }
  int keys_width() const { return num_kv_heads * d_key; }
  int values_width() const { return num_kv_heads * d_value; }
  int context_width() const { return num_heads * d_value; }
  int qkv_width() const { return queries_width() + keys_width() + values_width(); }
  int inner_width() const { return gated ? 2 * d_ff : d_ff; }
  int heads_per_group() const { return num_heads / num_kv_heads; }
  // Keys and values are kept in half the room where the weights are not exact either.
  Number cache_number() const { return compute_type == Number::f32 ? Number::f32 : Number::bf16; }
  bool translates() const { return architecture != Architecture::language_model; }
  bool reads_source() const { return architecture == Architecture::encoder_decoder; }
};

}  // namespace attento
