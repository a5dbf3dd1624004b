"""Captions of a scene in free English and Chinese word order."""

from __future__ import annotations

import random

from scene import Scene, held_out_triples, random_scene

EN_SHAPE = {
    "circle": ["circle", "circle", "circle", "disc", "disk", "ball", "round shape", "dot"],
    "square": ["square", "square", "square", "box", "block", "square shape"],
    "triangle": ["triangle", "triangle", "triangle", "triangular shape"],
}
EN_COLOUR = {
    "red": ["red", "red", "red", "bright red", "scarlet"],
    "green": ["green", "green", "green", "bright green"],
    "blue": ["blue", "blue", "blue", "bright blue", "deep blue"],
    "yellow": ["yellow", "yellow", "yellow", "bright yellow"],
    "purple": ["purple", "purple", "purple", "violet", "bright purple"],
    "cyan": ["cyan", "cyan", "cyan", "turquoise", "aqua", "bright cyan"],
}
EN_DIRECTION = {
    "right": ["to the right", "right", "rightward", "rightwards", "towards the right", "from left to right",
              "toward the right edge", "to the right side", "east"],
    "left": ["to the left", "left", "leftward", "leftwards", "towards the left", "from right to left",
             "toward the left edge", "to the left side", "west"],
    "up": ["up", "upward", "upwards", "towards the top", "from bottom to top", "straight up", "to the top",
           "toward the top edge", "north"],
    "down": ["down", "downward", "downwards", "towards the bottom", "from top to bottom", "straight down",
             "to the bottom", "toward the bottom edge", "south"],
    "up-right": ["up and to the right", "to the upper right", "towards the top right", "diagonally up and right",
                 "up-right", "to the top right corner", "from the bottom left to the top right", "right and up",
                 "northeast"],
    "up-left": ["up and to the left", "to the upper left", "towards the top left", "diagonally up and left",
                "up-left", "to the top left corner", "from the bottom right to the top left", "left and up",
                "northwest"],
    "down-right": ["down and to the right", "to the lower right", "towards the bottom right",
                   "diagonally down and right", "down-right", "to the bottom right corner",
                   "from the top left to the bottom right", "right and down", "southeast"],
    "down-left": ["down and to the left", "to the lower left", "towards the bottom left",
                  "diagonally down and left", "down-left", "to the bottom left corner",
                  "from the top right to the bottom left", "left and down", "southwest"],
}
EN_SPEED = {
    "slow": ["slowly", "slowly", "at a slow pace", "at low speed", "gently", "unhurriedly"],
    "fast": ["quickly", "fast", "rapidly", "at high speed", "swiftly", "at a fast pace"],
}
EN_SPEED_ADJECTIVE = {"slow": ["slow", "slow-moving"], "fast": ["fast", "quick", "fast-moving"]}
EN_BACKGROUND = {
    "black": ["black", "black", "dark black"],
    "grey": ["grey", "gray", "plain grey"],
    "white": ["white", "white", "plain white"],
    "pink": ["pink", "pale pink", "light pink"],
}
EN_PLACE = ["on a {b} background", "against a {b} background", "over a {b} background", "on {b}", "against {b}",
            "in front of a {b} backdrop", "with a {b} background", "across a {b} screen"]
EN_PLACE_SENTENCE = ["The background is {b}.", "Background: {b}.", "It is set against {b}."]
EN_GERUND = ["moving", "moving", "moving", "going", "travelling", "traveling", "drifting", "sliding", "gliding",
             "heading", "floating", "flying"]
EN_VERB = ["moves", "moves", "moves", "goes", "travels", "drifts", "slides", "glides", "heads", "floats", "flies"]
EN_OPENING = ["", "", "", "A video of ", "A clip of ", "An animation of ", "Video: ", "We see ", "There is ",
              "Show me ", "Draw "]

ZH_SHAPE = {
    "circle": ["圆形", "圆形", "圆", "圆球", "圆圈", "圆点", "球"],
    "square": ["正方形", "正方形", "方块", "方形"],
    "triangle": ["三角形", "三角形", "三角", "三角块"],
}
ZH_COLOUR = {
    "red": ["红色", "红色的", "红", "鲜红的"],
    "green": ["绿色", "绿色的", "绿", "翠绿的"],
    "blue": ["蓝色", "蓝色的", "蓝", "深蓝的"],
    "yellow": ["黄色", "黄色的", "黄", "明黄的"],
    "purple": ["紫色", "紫色的", "紫", "紫罗兰色的"],
    "cyan": ["青色", "青色的", "青", "蓝绿色的"],
}
ZH_COLOUR_NOUN = {"red": "红色", "green": "绿色", "blue": "蓝色", "yellow": "黄色", "purple": "紫色", "cyan": "青色"}
ZH_DIRECTION = {
    "right": ["向右", "往右", "朝右", "向右边", "往右侧", "从左到右", "从左向右", "自左向右", "朝右方"],
    "left": ["向左", "往左", "朝左", "向左边", "往左侧", "从右到左", "从右向左", "自右向左", "朝左方"],
    "up": ["向上", "往上", "朝上", "向上方", "往顶部", "从下到上", "从下往上", "自下而上", "朝上方"],
    "down": ["向下", "往下", "朝下", "向下方", "往底部", "从上到下", "从上往下", "自上而下", "朝下方"],
    "up-right": ["向右上", "往右上", "向右上方", "朝右上方", "往右上角", "从左下到右上", "从左下角向右上角"],
    "up-left": ["向左上", "往左上", "向左上方", "朝左上方", "往左上角", "从右下到左上", "从右下角向左上角"],
    "down-right": ["向右下", "往右下", "向右下方", "朝右下方", "往右下角", "从左上到右下", "从左上角向右下角"],
    "down-left": ["向左下", "往左下", "向左下方", "朝左下方", "往左下角", "从右上到左下", "从右上角向左下角"],
}
ZH_SPEED = {"slow": ["缓慢地", "慢慢地", "缓缓", "慢速", "慢慢"], "fast": ["快速地", "迅速地", "快速", "飞快地", "很快地"]}
ZH_BACKGROUND = {
    "black": ["黑色", "黑色", "纯黑"],
    "grey": ["灰色", "灰色", "纯灰"],
    "white": ["白色", "白色", "纯白"],
    "pink": ["粉色", "粉红色", "浅粉色"],
}
ZH_PLACE = ["在{b}背景上", "在{b}的背景上", "在{b}背景前", "在{b}画面中", "在{b}背景下"]
ZH_PLACE_SENTENCE = ["背景是{b}", "背景为{b}", "{b}背景", "{b}的背景"]
ZH_VERB = ["移动", "移动", "运动", "滑动", "飘动", "前进", "飞", "飞行", "移去"]
ZH_OPENING = ["", "", "", "视频：", "动画：", "画面中，", "请画", "一段视频，"]
ZH_ARTICLE = ["一个", "一个", "一个", "一块", ""]


def english_caption(scene: Scene, rng: random.Random, places: float = 0.6, speeds: float = 0.6) -> str:
    """A random English caption; background and speed appear with the given probabilities."""
    pick = rng.choice
    colour, shape = pick(EN_COLOUR[scene.colour]), pick(EN_SHAPE[scene.shape])
    direction = pick(EN_DIRECTION[scene.direction])
    speed = pick(EN_SPEED[scene.speed]) if rng.random() < speeds else ""
    ground = pick(EN_BACKGROUND[scene.background])
    with_place = rng.random() < places
    place = pick(EN_PLACE).format(b=ground) if with_place else ""
    adjective = f"{pick(EN_SPEED_ADJECTIVE[scene.speed])} " if speed and rng.random() < 0.25 else ""
    if adjective:
        speed = ""
    noun = f"{adjective}{colour} {shape}"
    article = "an" if noun[0] in "aeiou" and not noun.startswith("unh") else "a"
    style = rng.randrange(7)
    if style == 0:
        text = f"{pick(EN_OPENING)}{article} {noun} {pick(EN_GERUND)} {direction} {speed} {place}"
    elif style == 1:
        text = f"{article} {noun} {speed} {pick(EN_VERB)} {direction} {place}"
    elif style == 2:
        text = f"{place}{',' if place else ''} {article} {noun} {pick(EN_VERB)} {direction} {speed}"
    elif style == 3:
        text = f"{pick(EN_GERUND)} {direction} {speed}, {article} {noun} {place}"
    elif style == 4:
        text = f"the {adjective}{shape} is {colour} and {pick(EN_VERB)} {direction} {speed} {place}"
    elif style == 5:
        text = f"{noun}, {pick(EN_GERUND)} {direction}, {speed}{',' if speed else ''} {place}"
    else:
        ending = pick(EN_PLACE_SENTENCE).format(b=ground) if with_place else ""
        text = f"{pick(EN_OPENING)}{article} {noun} that {pick(EN_VERB)} {speed} {direction}. {ending}"
    return _finish_english(text, rng)


def _finish_english(text: str, rng: random.Random) -> str:
    """Tidy spaces and commas, then choose the capital and the full stop at random."""
    text = " ".join(text.split()).replace(" ,", ",").strip(" ,")
    if rng.random() < 0.6:
        text = text[0].upper() + text[1:]
    if rng.random() < 0.5:
        return text.rstrip(".")
    return text if text.endswith(".") else text + "."


def chinese_caption(scene: Scene, rng: random.Random, places: float = 0.6, speeds: float = 0.6) -> str:
    """A random Chinese caption; background and speed appear with the given probabilities."""
    pick = rng.choice
    noun = f"{pick(ZH_ARTICLE)}{pick(ZH_COLOUR[scene.colour])}{pick(ZH_SHAPE[scene.shape])}"
    direction, verb = pick(ZH_DIRECTION[scene.direction]), pick(ZH_VERB)
    speed = pick(ZH_SPEED[scene.speed]) if rng.random() < speeds else ""
    ground = pick(ZH_BACKGROUND[scene.background])
    with_place = rng.random() < places
    place = pick(ZH_PLACE).format(b=ground) if with_place else ""
    after = "，" + pick(ZH_PLACE_SENTENCE).format(b=ground) if with_place else ""
    style = rng.randrange(7)
    if style == 0:
        text = f"{pick(ZH_OPENING)}{noun}{speed}{direction}{verb}{after}"
    elif style == 1:
        text = f"{place}{'，' if place and rng.random() < 0.5 else ''}{noun}{speed}{direction}{verb}"
    elif style == 2:
        text = f"{noun}{place}{direction}{speed}{verb}"
    elif style == 3:
        text = f"{speed}{direction}{verb}的{noun}{after}"
    elif style == 4:
        text = f"{pick(ZH_SHAPE[scene.shape])}是{ZH_COLOUR_NOUN[scene.colour]}的，{direction}{speed}{verb}{after}"
    elif style == 5:
        lead = pick(ZH_PLACE_SENTENCE).format(b=ground) + "，" if with_place else ""
        text = f"{lead}{noun}正在{direction}{speed}{verb}"
    else:
        text = f"{noun}，{direction}{verb}{'，速度' + ('慢' if scene.speed == 'slow' else '快') if speed else ''}{after}"
    return text + ("。" if rng.random() < 0.5 else "")


def caption(scene: Scene, language: str, rng: random.Random) -> str:
    """A caption in `language`, "en" or "zh"."""
    return english_caption(scene, rng) if language == "en" else chinese_caption(scene, rng)


def held_out_prompts(count: int, language: str, seed: int) -> list[tuple[str, Scene]]:
    """`count` prompts of never-trained (colour, shape, direction) triples, each triple in turn, the rest at random."""
    rng = random.Random(f"{seed} {language}")
    triples = held_out_triples()
    order = rng.sample(triples, len(triples))
    prompts = []
    for index in range(count):
        scene = random_scene(rng, [order[index % len(order)]])
        prompts.append((caption(scene, language, rng), scene))
    return prompts
