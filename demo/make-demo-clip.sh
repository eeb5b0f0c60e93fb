#!/bin/sh
# Makes the clip that the server's demo stream repeats for ever: demo/make-demo-clip.sh [OUTPUT]. Takes some minutes.
#
# The clip is a loop without a seam: whoever plays it again 10.24 s later, on and on, continues both clocks exactly.
#   - 256 pictures at 25 fps and 480 AAC access units of 1024 samples at 48 kHz are the same 10.24 s.
#   - Everything that moves has a period of 256 pictures, and every sound one of 10.24 s.
#   - An AAC access unit is decoded together with the one before it. So the sound is encoded three times in a row, and the
#     480 access units are taken out of the middle: the first one follows the last one as it follows its neighbour.
#   - No B-frames: WebRTC cannot carry pictures that are shown in another order than they are decoded in. Times of both begin
#     at 0, and all of them lie within [0, 10240) ms.
#   - No end-of-sequence tag; closed GOPs of 2 s, of which the last one is cut at 6 pictures.
#
# The flash in the ring and the beep are at each full second of the loop, in the same moment.
#
# Needs ffmpeg 5.1 or newer with libx264, and the DejaVu fonts (Debian: ffmpeg, fonts-dejavu).
set -eu

output=${1:-$(dirname "$0")/../arcly/server/demo.flv}

fps=25
pictures=256
loop=10.24
turn="(2*PI*N/$pictures)"

# Slow lights behind everything: three round gradients that wander. Small and with 16 bits a sample, then enlarged: smooth,
# and quick to compute.
light() { # x, y, radius
    echo "exp(-(pow(X-($1),2)+pow(Y-($2),2))/pow($3,2))"
}
teal=$(light "40+26*cos($turn)" "62+14*sin($turn)" 46)
violet=$(light "122+22*sin($turn)" "26+16*cos(2*$turn)" 50)
blue=$(light "84+34*sin($turn+2)" "48+20*sin(2*$turn+1)" 56)
lights="color=black:size=160x90:rate=$fps,format=gbrp16,geq=
    r='257*( 9+ 2*$teal+44*$violet+ 6*$blue)':
    g='257*(12+44*$teal+10*$violet+24*$blue)':
    b='257*(24+44*$teal+72*$violet+60*$blue)',
    scale=1280:720:flags=bicubic,format=gbrp"

# The ring: a comet that goes round once in the loop, marks at the full seconds, and a disc that flashes at each of them.
radius="hypot(X-170,Y-170)"
behind="mod(N/$pictures-atan2(X-170,170-Y)/(2*PI)+2,1)"
mark="mod(atan2(X-170,170-Y)/(2*PI)+1.004,1)*$loop"
ring="clip(7-abs($radius-150),0,1)*(34+221*pow(1-$behind,3))"
marks="clip(5-abs($radius-128),0,1)*lt(mod($mark,1),0.08)*lt($mark,9.5)*110"
flash="clip(112-$radius,0,1)*lt(N,10*$fps)*max(0,1-mod(N,$fps)/7)*130"
clock="color=black:size=340x340:rate=$fps,format=gbrap,geq=
    r='130':g='232':b='220':a='max($ring,max($marks,$flash))'"

# Bars along the lower edge, each a sum of waves that fit into the loop a whole number of times.
bar="floor(X/20)"
level="58+26*sin(5*$turn+$bar*0.35)+16*sin(8*$turn-$bar*0.61)+12*sin(13*$turn+$bar*1.7)"
bars="color=black:size=1280x130:rate=$fps,format=gbrap,geq=
    r='45+95*X/1280':g='205-115*X/1280':b='190+50*X/1280':
    a='lt(mod(X,20),13)*clip(Y-130+$level,0,1)*(70+120*(130-Y)/130)'"

text() { # size, x, y, colour, font, text
    echo "drawtext=font='$5':fontsize=$1:x=$2:y=$3:fontcolor=$4:text='$6'"
}
seconds='%{eif\:floor(n/25)\:d\:2}.%{eif\:mod(n\,25)*4\:d\:2}'
frame='frame %{eif\:n\:d\:3} / 256'
title=$(text 96 96 196 white 'DejaVu Sans' 'arcly demo')
line1=$(text 30 100 322 0xa9b8d6 'DejaVu Sans' 'a stream is a log, a viewer is a cursor')
line2=$(text 22 100 372 0x7385a8 'DejaVu Sans Mono' '1280x720  25 fps  H.264 + AAC')
digits=$(text 64 "997-text_w/2" 232 white 'DejaVu Sans' "$seconds")
count=$(text 20 "997-text_w/2" 314 0xdde6f6 'DejaVu Sans Mono' "$frame")

# A quiet chord that shows each gap to the ear, and the beeps; the one that begins the loop is higher.
now="mod(t,$loop)"
tone() { # cycles in a loop, amplitude, cycles of its swelling
    echo "$2*sin(2*PI*$1*$now/$loop)*(0.7+0.3*sin(2*PI*$3*$now/$loop))"
}
beep="0.11*lt($now,10)*sin(2*PI*if(lt($now,1),1320,880)*mod($now,1))*min(1,mod($now,1)*400)*exp(-mod($now,1)*28)"
left="$(tone 1126 0.016 2)+$(tone 1688 0.011 3)+$(tone 2838 0.007 5)+$beep"
right="$(tone 1126 0.016 3)+$(tone 1688 0.011 2)+$(tone 2253 0.007 4)+$beep"

ffmpeg -hide_banner -loglevel warning -y -filter_complex "
    $lights[lights]; $clock[clock]; $bars[bars];
    [lights][bars]overlay=0:590:format=gbrp[scene]; [scene][clock]overlay=827:98:format=gbrp,
    $title,$line1,$line2,$digits,$count,
    trim=end_frame=$pictures,scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,
    setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709[v];
    aevalsrc=exprs='$left|$right':channel_layout=stereo:sample_rate=48000:duration=30.72[a]" \
    -map '[v]' -c:v libx264 -profile:v high -preset slower -level 3.1 -refs 4 -crf 22 -maxrate 1500k -bufsize 3000k \
    -bf 0 -g 50 -keyint_min 50 -x264-params scenecut=0:open-gop=0:aq-mode=3 \
    -map '[a]' -c:a aac -b:a 96k \
    -bsf:a "noise=amount=0:drop='lt(n,481)+gt(n,960)',setts=time_base=1/1000:ts=round(N*1024/48)" \
    -map_metadata -1 -fflags +bitexact -flags:v +bitexact -flags:a +bitexact -max_interleave_delta 0 \
    -flvflags no_sequence_end -f flv "$output"
