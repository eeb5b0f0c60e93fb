"""A clock in the picture: the time of day in milliseconds as black and white blocks. barcode.js draws and reads it."""

WIDTH, HEIGHT = 640, 360

BLOCKS = 32
"""White, black, 24 bits of time, 6 of checksum, the highest first."""

TIME_BITS, SUM_BITS = 24, 6

BLOCK_WIDTH, BAND_HEIGHT = WIDTH // BLOCKS, HEIGHT // 9

WHITE, BLACK = b"\xeb" * BLOCK_WIDTH, b"\x10" * BLOCK_WIDTH
"""Of limited range (ITU-R BT.709 3.5)."""


def code(unix_ms: int) -> int:
    """Return the bits behind the first two blocks."""
    ms = unix_ms % (1 << TIME_BITS)
    groups = (ms >> shift & 63 for shift in range(0, TIME_BITS, SUM_BITS))
    return ms << SUM_BITS | sum(groups) & 63


def band(unix_ms: int) -> bytes:
    """Return the luma of the upper ninth of a picture."""
    bits = f"{code(unix_ms):0{TIME_BITS + SUM_BITS}b}"
    row = WHITE + BLACK + b"".join(WHITE if bit == "1" else BLACK for bit in bits)
    return row * BAND_HEIGHT


TEXTURE = bytes(32 + (x * x // 97 + y * y // 61) % 192 for y in range(2 * HEIGHT) for x in range(WIDTH))
"""Something to encode: it moves under the clock."""


def luma(unix_ms: int, number: int) -> bytes:
    """Return the luma of picture `number`, with the time in it."""
    first = WIDTH * (2 * number % HEIGHT)
    return band(unix_ms) + TEXTURE[first : first + WIDTH * (HEIGHT - BAND_HEIGHT)]
