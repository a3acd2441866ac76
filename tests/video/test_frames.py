import numpy as np
import pytest
from PIL import Image

from drfm.errors import DrfmError
from drfm.video import frames as module
from drfm.video.frames import open_frames


def test_frames_of_a_video_come_in_order_with_their_times(made, tmp_path):
    images = made.film(15)
    found = open_frames(made.write_video(tmp_path / "a.mkv", images, rate=10, first_pts=30))
    assert found.rate == 10
    frames = list(found)
    assert [frame.number for frame in frames] == list(range(1, 16))
    assert [frame.seconds for frame in frames] == pytest.approx([n / 10 for n in range(15)])
    for frame, image in zip(frames, images, strict=True):
        assert (frame.image() == image).all()
    assert found.problems == []


def test_a_file_says_about_how_many_frames_it_has(made, tmp_path):
    assert open_frames(made.write_video(tmp_path / "a.mkv", made.film(15))).count == 15
    usual = made.write_video(tmp_path / "a.mp4", made.film(15), codec="mpeg4", pixels="yuv420p")
    assert open_frames(usual).count == 15


def test_a_usual_codec_gives_nearly_the_same_picture(made, tmp_path):
    images = made.film(8)
    path = made.write_video(tmp_path / "a.mp4", images, codec="libx264", pixels="yuv420p")
    frames = list(open_frames(path))
    assert len(frames) == 8
    assert np.abs(frames[3].image().astype(int) - images[3]).mean() < 6


def test_fps_and_first_number_can_be_given(made, tmp_path):
    path = made.write_video(tmp_path / "a.mkv", made.film(4))
    frames = list(open_frames(path, fps=2.0, first_frame=0))
    assert [(frame.number, frame.seconds) for frame in frames] == [(0, 0.0), (1, 0.5), (2, 1.0), (3, 1.5)]


def test_a_turned_video_is_upright(made, tmp_path):
    image = made.picture([(0, 0, 40, 30, made.RED)])
    path = made.write_video(tmp_path / "a.mp4", [image] * 3, codec="mpeg4", pixels="yuv420p")
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    clockwise = [0, 0x10000, 0, -0x10000, 0, 0, made.SIZE[0] << 16, 0, 0x40000000]
    data[matrix : matrix + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in clockwise)
    path.write_bytes(data)
    shown = next(iter(open_frames(path))).image()
    expected = np.asarray(Image.fromarray(image).transpose(Image.Transpose.ROTATE_270))
    assert shown.shape == expected.shape
    assert np.abs(shown.astype(int) - expected).mean() < 8


def test_a_video_cut_short_gives_what_is_there(made, tmp_path):
    images = [np.random.default_rng(n).integers(0, 255, (64, 64, 3)).astype(np.uint8) for n in range(20)]
    path = made.write_video(tmp_path / "a.mkv", images)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = list(open_frames(path))
    assert 5 <= len(frames) < 20
    assert (frames[2].image() == images[2]).all()


def test_damage_inside_is_counted_and_the_rest_is_read(made, tmp_path):
    images = [np.random.default_rng(n).integers(0, 255, (64, 64, 3)).astype(np.uint8) for n in range(20)]
    path = made.write_video(tmp_path / "a.avi", images, codec="mjpeg", pixels="yuvj420p")
    data = bytearray(path.read_bytes())
    picture = data.index(b"00dc", len(data) // 2) + 8
    data[picture : picture + 900] = bytes(900)
    path.write_bytes(data)
    found = open_frames(path)
    assert len(list(found)) == 19
    assert len(found.problems) == 1


@pytest.mark.parametrize("data", [b"", b"no video at all", bytes(3000)])
def test_what_is_no_video_is_refused(made, tmp_path, data):
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    with pytest.raises(DrfmError, match=r"a\.mp4: cannot be opened as a video") as error:
        list(open_frames(path))
    assert "\n" not in str(error.value)


def test_a_video_whose_end_is_missing_is_refused(made, tmp_path):
    path = made.write_video(tmp_path / "a.mp4", made.film(5), codec="mpeg4", pixels="yuv420p")
    path.write_bytes(path.read_bytes()[:-800])  # an MP4 has its index at the end
    with pytest.raises(DrfmError, match=r"a\.mp4: (cannot be opened|has no video|not one frame)"):
        list(open_frames(path))


def test_a_missing_source_and_one_without_video(made, tmp_path):
    with pytest.raises(DrfmError, match="no such file or folder"):
        open_frames(tmp_path / "none.mp4")
    import av

    sound = tmp_path / "a.wav"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(DrfmError, match="has no video in it"):
        open_frames(sound)


def test_a_playlist_opens_nothing_but_files(made, tmp_path):
    path = tmp_path / "a.m3u8"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(DrfmError, match=r"a\.m3u8"):
        list(open_frames(path))


def test_huge_frames_are_refused_before_they_are_converted(made, tmp_path, monkeypatch):
    path = made.write_video(tmp_path / "a.mkv", made.film(2))
    monkeypatch.setattr(module, "MAX_PIXELS", 1000)
    with pytest.raises(DrfmError, match="frames of 160 x 120 pixels, above the limit"):
        list(open_frames(path))


def save(folder, *names):
    folder.mkdir(exist_ok=True)
    for at, name in enumerate(names):
        Image.new("RGB", (8, 6), (at, 0, 0)).save(folder / name)
    return folder


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (("000001.png", "000002.png", "000010.png"), [1, 2, 10]),
        (("f_2.png", "f_10.png", "f_0.png"), [0, 2, 10]),
        (("1.png", "a.png"), [5, 6]),
        (("a1.png", "b1.png"), [5, 6]),
    ],
)
def test_frames_of_a_folder_are_numbered_by_name_or_order(tmp_path, names, numbers):
    frames = list(open_frames(save(tmp_path / "f", *names), first_frame=5))
    assert [frame.number for frame in frames] == numbers
    assert [frame.seconds for frame in frames] == [None] * len(names)
    assert {frame.image().shape for frame in frames} == {(6, 8, 3)}
    values = [int(frame.image()[0, 0, 0]) for frame in frames]
    expected = sorted(range(len(names)), key=lambda n: numbers[n] if numbers[0] == 5 else _digits(names[n]))
    assert values == expected


def _digits(name):
    return int(name.partition(".")[0].removeprefix("f_"))


def test_times_of_a_folder_come_from_fps(tmp_path):
    frames = open_frames(save(tmp_path / "f", "3.png", "5.png"), fps=4.0)
    assert [frame.seconds for frame in frames] == [0.0, 0.5]


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DrfmError, match="no images found"):
        open_frames(tmp_path)
