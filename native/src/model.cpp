#include "model.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace attento {

Model::Model(const std::string& path) : file(path), settings(Settings::read(file)) {
  const Settings& s = settings;
  target_embedding = matrix("target_embedding", s.target_vocab_size, s.d_model);
  const bool own_source = file.has_matrix("source_embedding");
  if (!own_source && s.source_vocab_size != s.target_vocab_size) {
    file.damaged("there is no `source_embedding`, but the vocabularies differ in size");
  }
  source_embedding = own_source ? matrix("source_embedding", s.source_vocab_size, s.d_model) : target_embedding;
  output = file.has_matrix("output") ? matrix("output", s.target_vocab_size, s.d_model) : target_embedding;
  if (s.embedding_norm) {
    if (s.reads_source()) source_norm = norm("source_norm");
    target_norm = norm("target_norm");
  }
  if (s.pre_norm) {
    if (s.reads_source()) encoder_norm = norm("encoder_norm");
    decoder_norm = norm("decoder_norm");
  }
  read_positions();
  for (int i = 0; i < s.encoder_layers; ++i) {
    const std::string layer = "encoder." + std::to_string(i);
    encoder.push_back({self_attention(layer), feed_forward(layer)});
  }
  for (int i = 0; i < s.decoder_layers; ++i) {
    const std::string layer = "decoder." + std::to_string(i);
    CrossAttentionWeights cross;
    if (s.reads_source()) {
      cross.query = matrix(layer + ".cross_attention.query", s.queries_width(), s.d_model);
      cross.keys_values = matrix(layer + ".cross_attention.keys_values", s.keys_width() + s.values_width(), s.d_model);
      cross.output = matrix(layer + ".cross_attention.output", s.d_model, s.context_width());
      cross.norm = norm(layer + ".cross_attention_norm");
    }
    decoder.push_back({self_attention(layer), cross, feed_forward(layer)});
  }
}

Matrix Model::matrix(const std::string& name, int outputs, int inputs) const {
  return file.matrix(name, settings.compute_type, outputs, inputs);
}

Norm Model::norm(const std::string& name) const {
  return {file.floats(name + ".gain", {settings.d_model}),
          settings.centred ? file.floats(name + ".bias", {settings.d_model}) : nullptr};
}

SelfAttentionWeights Model::self_attention(const std::string& layer) const {
  const Settings& s = settings;
  return {matrix(layer + ".self_attention.qkv", s.qkv_width(), s.d_model),
          matrix(layer + ".self_attention.output", s.d_model, s.context_width()), norm(layer + ".self_attention_norm")};
}

FeedForwardWeights Model::feed_forward(const std::string& layer) const {
  const Settings& s = settings;
  return {matrix(layer + ".inner", s.inner_width(), s.d_model), matrix(layer + ".outer", s.d_model, s.d_ff),
          norm(layer + ".feed_forward_norm")};
}

void Model::read_positions() {
  const Settings& s = settings;
  switch (s.positions) {
    case Positions::learned:
      if (s.max_target_length == 0 || (s.architecture != Architecture::language_model && s.max_source_length == 0)) {
        file.damaged("its positions are learned, but a length has no limit");
      }
      if (s.reads_source()) {
        source_positions_count = s.max_source_length;
        source_positions = file.floats("source_positions", {source_positions_count, s.d_model});
        target_positions_count = s.max_target_length;
      } else {
        // Source and target stand in one row of places; each may have the half.
        target_positions_count = s.architecture == Architecture::language_model
                                     ? s.max_target_length
                                     : s.max_source_length + s.max_target_length;
      }
      target_positions = file.floats("target_positions", {target_positions_count, s.d_model});
      break;
    case Positions::rotary:
      rotary_angles = file.doubles("rotary_angles", {s.d_key / 2});
      break;
    case Positions::alibi:
      alibi_slopes = file.floats("alibi_slopes", {s.num_heads});
      break;
    case Positions::relative:
      if (s.reads_source()) source_relations = file.floats("source_relations", {s.relative_buckets, s.num_heads});
      target_relations = file.floats("target_relations", {s.relative_buckets, s.num_heads});
      break;
    default:
      break;
  }
}

namespace {

float widen(const std::byte* at, Number number) {
  switch (number) {
    case Number::int8:
      return static_cast<float>(static_cast<std::int8_t>(*at));
    case Number::bf16: {
      std::uint16_t half;
      std::memcpy(&half, at, 2);
      return std::bit_cast<float>(static_cast<std::uint32_t>(half) << 16);
    }
    default: {
      float value;
      std::memcpy(&value, at, 4);
      return value;
    }
  }
}

template <Number number>
void unpack(const Matrix& matrix, int output, float* row) {
  constexpr int group = group_of(number), size = size_of(number);
  const std::byte* at = matrix.panels + (output / kPanel * matrix.padded_inputs() * kPanel + output % kPanel * group) * size;
  const float scale = number == Number::int8 ? matrix.scales[output] : 1;
  for (int input = 0; input < matrix.inputs; input += group, at += kPanel * group * size) {
    const int rest = std::min(group, matrix.inputs - input);
    for (int i = 0; i < rest; ++i) row[input + i] = widen(at + i * size, number) * scale;
  }
}

}  // namespace

void unpack_row(const Matrix& matrix, int output, float* row) {
  switch (matrix.number) {
    case Number::int8:
      return unpack<Number::int8>(matrix, output, row);
    case Number::bf16:
      return unpack<Number::bf16>(matrix, output, row);
    default:
      return unpack<Number::f32>(matrix, output, row);
  }
}

}  // namespace attento
