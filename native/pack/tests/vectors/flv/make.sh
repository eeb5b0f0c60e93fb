#!/usr/bin/env bash
# Makes the FLV files of this folder, and beside each what FFmpeg reads in it: stream, dts, pts, duration, size and CRC-32 of every
# packet, in milliseconds. Needs an FFmpeg with Enhanced RTMP v2 (8 or newer); made with FFmpeg 9.0.2 of the imageio-ffmpeg wheel.
#   FFMPEG=/path/to/ffmpeg ./make.sh
set -euo pipefail
cd "$(dirname "$0")"
ffmpeg=${FFMPEG:-ffmpeg}
video=(-f lavfi -i "testsrc2=size=96x64:rate=30000/1001:duration=0.5")
audio() { sound=(-f lavfi -i "sine=sample_rate=$1:duration=0.5"); }

make() {
  local name=$1; shift
  "$ffmpeg" -v error -y "$@" -bitexact "$name.flv"
  "$ffmpeg" -v error -y -copyts -i "$name.flv" -map 0 -c copy -f framehash -hash CRC32 "$name.packets"
  sed -i '/^#\(format\|version\|hash\|software\)/d' "$name.packets"
}

x265=log-level=0:info=0
audio 48000
make hevc_opus "${video[@]}" "${sound[@]}" -c:v libx265 -x265-params "$x265:bframes=2:keyint=10" -crf 40 -c:a libopus -b:a 16k
make av1_ac3 "${video[@]}" "${sound[@]}" -c:v libaom-av1 -cpu-used 8 -g 10 -crf 50 -c:a ac3 -b:a 32k
make vp9_eac3 "${video[@]}" "${sound[@]}" -c:v libvpx-vp9 -g 10 -crf 50 -b:v 0 -c:a eac3 -b:a 32k
make vvc_aac "${video[@]}" "${sound[@]}" -c:v libvvenc -qp 45 -c:a aac -b:a 32k
make avc_flac "${video[@]}" -f lavfi -i "anullsrc=sample_rate=48000:duration=0.5" -c:v libx264 -crf 40 -bf 2 -g 10 -c:a flac
audio 44100
make avc_mp3 "${video[@]}" "${sound[@]}" -c:v libx264 -crf 40 -bf 0 -g 10 -c:a libmp3lame -b:a 32k
audio 8000
make alaw "${sound[@]}" -c:a pcm_alaw
make mulaw "${sound[@]}" -c:a pcm_mulaw
make pcm16 -f lavfi -i "sine=sample_rate=11025:duration=0.3" -c:a pcm_s16le
make pcm8 -f lavfi -i "sine=sample_rate=11025:duration=0.3" -c:a pcm_u8
audio 48000
make multitrack "${video[@]}" "${video[@]}" "${sound[@]}" "${sound[@]}" -map 0 -map 1 -map 2 -map 3 \
  -c:v:0 libx264 -crf:v:0 40 -bf:v:0 0 -c:v:1 libx265 -x265-params "$x265:bframes=0" -crf:v:1 40 -c:a:0 aac -b:a:0 16k -c:a:1 libopus -b:a:1 16k
make hdr10 "${video[@]}" -c:v libx265 -crf 40 -pix_fmt yuv420p10le -vf setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc \
  -x265-params "$x265:bframes=0:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400"
