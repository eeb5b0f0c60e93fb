//! `retina-play URL tcp|udp FRAMES`: plays until so many pictures have come, and writes a line for each frame: what it is, when it is shown in
//! seconds, and whether a decoder may begin there.

use std::{env, error::Error};

use futures::StreamExt;
use retina::{
    client::{PlayOptions, Session, SessionOptions, SetupOptions, Transport},
    codec::CodecItem,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let [url, transport, frames] =
        env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| "URL tcp|udp FRAMES")?;
    let transport =
        if transport == "udp" { Transport::Udp(Default::default()) } else { Transport::Tcp(Default::default()) };
    let mut session = Session::describe(url::Url::parse(&url)?, SessionOptions::default()).await?;
    for stream in 0..session.streams().len() {
        println!("track {}", session.streams()[stream].encoding_name());
        session.setup(stream, SetupOptions::default().transport(transport.clone())).await?;
    }
    let mut items = session.play(PlayOptions::default()).await?.demuxed()?;
    let mut left: usize = frames.parse()?;
    while left > 0 {
        match items.next().await.ok_or("the stream has ended")?? {
            CodecItem::VideoFrame(frame) => {
                left -= 1;
                println!("video {:.3} {}", frame.timestamp().elapsed_secs(), frame.is_random_access_point());
            }
            CodecItem::AudioFrame(frame) => println!("audio {:.3} true", frame.timestamp().elapsed_secs()),
            _ => {}
        }
    }
    Ok(())
}
