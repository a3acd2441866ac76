import pytest

from drfm.data.detect import detect_kind
from drfm.data.readers import READERS, read_dataset
from drfm.data.records import DISTRACTOR, JUNK, UNKNOWN
from drfm.errors import DrfmError


def by_name(dataset):
    return {record.name: record for record in dataset.records}


def test_market1501(market, make):
    make(market, ["bounding_box_test/1488_c2s3_000001_00.jpg.jpg"])
    dataset = read_dataset("market1501", market)
    records = by_name(dataset)
    assert list(records) == sorted(records)
    assert len(records) == 9 + 8 + 4 + 4 + 1
    assert records["bounding_box_test/1488_c2s3_000001_00.jpg.jpg"].person == 1488
    assert records["bounding_box_test/-1_c1s1_000001_00.png"].person == JUNK
    assert records["bounding_box_test/0000_c3s1_000001_00.png"].person == DISTRACTOR
    train = records["bounding_box_train/0010_c3s1_000003_00.png"]
    assert (train.person, train.camera, train.split) == (10, 3, "train")
    assert records["query/0001_c2s1_000009_00.png"].split == "query"
    assert dataset.notes == ("2 junk boxes (person -1)", "2 distractors (person 0000)")
    assert detect_kind(market) == "market1501"


def test_market_style_folders_give_the_split_and_person_zero_is_a_person(tmp_path, make):
    root = make(
        tmp_path, ["train/0000_c1_1.png", "train/0000_c2_1.png", "test/0743_c1_1.png", "test/-1_c2_1.png"]
    )
    assert detect_kind(root) == "market-style"
    records = by_name(read_dataset("market-style", root))
    assert (records["train/0000_c1_1.png"].person, records["train/0000_c1_1.png"].split) == (0, "train")
    assert records["test/0743_c1_1.png"].split == "gallery"
    assert records["test/-1_c2_1.png"].person == JUNK


def test_market_style_names_must_parse(tmp_path, make):
    root = make(tmp_path, ["0001_c1_1.png", "holiday.png"])
    with pytest.raises(DrfmError, match=r"holiday\.png: expected a name such as"):
        read_dataset("market-style", root)


def test_cuhk03_np(tmp_path, make):
    folders = ("bounding_box_train", "query", "bounding_box_test")
    root = make(tmp_path, [f"{b}/{f}/0001_c1_1.png" for b in ("detected", "labeled") for f in folders])
    assert detect_kind(root) == "cuhk03-np"
    assert len(read_dataset("auto", root).records) == 6
    detected = read_dataset("cuhk03-np", root, boxes="detected")
    assert {r.name.split("/")[0] for r in detected.records} == {"detected"}
    assert read_dataset("cuhk03-np", root, boxes="labelled").records[0].name.startswith("labeled/")
    with pytest.raises(DrfmError, match="boxes = drawn"):
        read_dataset("cuhk03-np", root, boxes="drawn")


@pytest.mark.parametrize("style", ["CAVIARa/{p:04d}{i:03d}.jpg", "{p:04d}_{i:03d}.jpg"])
@pytest.mark.parametrize("low", [1, 2])
def test_caviar_measures_the_lr_camera(tmp_path, make, style, low):
    sizes = {}
    for p in (1, 2):
        for i in range(1, 21):
            camera = 1 if i <= 10 else 2
            sizes[style.format(p=p, i=i)] = (8, 4) if camera == low else (24, 10)
    for p, size in ((3, (9, 4)), (4, (23, 10))):
        sizes |= {style.format(p=p, i=i): size for i in range(1, 11)}
    root = make(tmp_path, sizes)
    assert detect_kind(root) == "caviar"
    dataset = read_dataset("caviar", root)
    records = by_name(dataset)
    for p in (1, 2):
        for i in range(1, 21):
            record = records[style.format(p=p, i=i)]
            assert record.camera == (1 if i <= 10 else 2)
            assert record.resolution == ("lr" if record.camera == low else "hr")
    assert {records[style.format(p=3, i=i)].resolution for i in range(1, 11)} == {"lr"}
    assert records[style.format(p=4, i=1)].resolution == "hr"
    assert records[style.format(p=4, i=1)].camera is None
    assert dataset.notes[0] == (
        f"LR camera {low}, measured: mean area 32 px against 240 px over 2 persons seen by both cameras"
    )


def test_caviar_without_a_two_camera_person(tmp_path, make):
    with pytest.raises(DrfmError, match="no person has 20 images"):
        read_dataset("caviar", make(tmp_path, ["0001_001.jpg"]))


def test_viper(tmp_path, make):
    root = make(tmp_path, ["cam_a/000_45.bmp", "cam_a/001_0.bmp", "cam_b/000_90.bmp", "cam_b/001_45.bmp"])
    assert detect_kind(root) == "viper"
    assert [(r.person, r.camera) for r in read_dataset("viper", root).records] == [
        (0, 1),
        (1, 1),
        (0, 2),
        (1, 2),
    ]


def test_prid_persons_above_200_are_different_in_each_camera(tmp_path, make):
    names = [f"prid_2011/single_shot/cam_{c}/person_{p:04d}.png" for c in "ab" for p in (1, 200, 201)]
    root = make(tmp_path, names)
    assert detect_kind(root) == "prid2011"
    persons = [(r.person, r.camera) for r in read_dataset("prid2011", root).records]
    assert persons == [(1, 1), (200, 1), (10201, 1), (1, 2), (200, 2), (DISTRACTOR, 2)]


def test_grid_with_its_partitions(tmp_path, make):
    import numpy as np
    from scipy.io import savemat

    root = make(tmp_path, ["underground_reid/probe/0001_1_a.png", "underground_reid/probe/0002_1_a.png",
                           "underground_reid/gallery/0001_2_a.png", "underground_reid/gallery/0002_2_a.png",
                           "underground_reid/gallery/0000_2_a.png"])  # fmt: skip
    cells = np.empty((1, 2), dtype=object)
    for k, train in enumerate(([1], [2])):
        cells[0, k] = np.array([[(0, 0, np.array([train]))]], dtype=[("a", "O"), ("b", "O"), ("c", "O")])
    savemat(root / "underground_reid" / "features_and_partitions.mat", {"trainIdxAll": cells})
    dataset = read_dataset("auto", root)
    assert dataset.kind == "grid"
    assert dataset.test_sets == ((2,), (1,))
    assert sorted(r.person for r in dataset.records) == [DISTRACTOR, 1, 1, 2, 2]
    (root / "underground_reid" / "features_and_partitions.mat").write_bytes(b"rubbish")
    with pytest.raises(DrfmError, match="GRID's partitions"):
        read_dataset("grid", root)


@pytest.mark.parametrize("folders", [("train", "test"), ("mask_train_v2", "mask_test_v2")])
def test_msmt17_moves_test_persons_behind_training(tmp_path, make, folders):
    shots = {"train": "0000/0000_000_01", "val": "0001/0001_000_15", "query": "0000/0000_001_02"}
    names = {part: f"{shot}_x.png" for part, shot in {**shots, "gallery": "0000/0000_002_03"}.items()}
    for part, name in names.items():
        make(tmp_path / folders[part in ("query", "gallery")], [name])
        (tmp_path / f"list_{part}.txt").write_text(f"{name} {int(name[:4])}\n")
    assert detect_kind(tmp_path) == "msmt17"
    records = read_dataset("msmt17", tmp_path).records
    found = {(r.split, r.person, r.camera) for r in records}
    assert found == {("train", 0, 1), ("train", 1, 15), ("query", 2, 2), ("gallery", 2, 3)}
    (tmp_path / "list_query.txt").write_text("0000/none_001_02_x.png 0\n")
    with pytest.raises(DrfmError, match="listed and does not exist"):
        read_dataset("msmt17", tmp_path)
    (tmp_path / "list_query.txt").write_text("nonsense\n")
    with pytest.raises(DrfmError, match=r"list_query\.txt:1"):
        read_dataset("msmt17", tmp_path)


def test_an_unlabelled_folder(tmp_path, make):
    root = make(tmp_path, ["b.png", "a.JPG", ".hidden.png", ".cache/c.png"])
    (root / "notes.txt").write_text("x")
    dataset = read_dataset("auto", root)
    assert dataset.kind == "folder"
    assert [(r.name, r.person, r.camera) for r in dataset.records] == [
        ("a.JPG", UNKNOWN, None),
        ("b.png", UNKNOWN, None),
    ]


def test_folder_per_person(tmp_path, make):
    root = make(tmp_path, ["train/ann/1.png", "train/bob/1.png", "test/cy/2.png"])
    records = read_dataset("folder-per-person", root).records
    assert [(r.person, r.camera, r.split) for r in records] == [
        (2, None, "gallery"),
        (0, None, "train"),
        (1, None, "train"),
    ]
    with pytest.raises(DrfmError, match="kind folder-per-person"):
        detect_kind(root)
    make(root, ["train/loose.png"])
    with pytest.raises(DrfmError, match="in no person's folder"):
        read_dataset("folder-per-person", root)


def test_folder_per_person_reads_cameras_if_all_names_have_one(tmp_path, make):
    root = make(tmp_path, ["20/00020_c0_1.png", "21/00021_c12s3_1.png"])
    assert [r.camera for r in read_dataset("folder-per-person", root).records] == [0, 12]
    make(root, ["21/plain.png"])
    assert {r.camera for r in read_dataset("folder-per-person", root).records} == {None}


def test_unknown_kind_option_and_missing_folder(tmp_path, market):
    with pytest.raises(DrfmError, match="kind = x: no such data set; give auto or one of"):
        read_dataset("x", tmp_path)
    with pytest.raises(DrfmError, match="boxes = both: not an option of market1501"):
        read_dataset("market1501", market, boxes="both")
    for kind in ("auto", *READERS):
        with pytest.raises(DrfmError, match="no such folder"):
            read_dataset(kind, tmp_path / "none")
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(DrfmError, match="empty"):
            read_dataset(kind, tmp_path / "empty")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    for kind in ("auto", "folder"):
        with pytest.raises(DrfmError, match="is a file"):
            read_dataset(kind, tmp_path / "a.txt")
