"""Made documents that are not English: Chinese, Japanese, Arabic, and lines with emoji."""

from __future__ import annotations

from random import Random

# the name of the fact | the sentence that tells it | how it is asked in the same words | how it is asked in others
FACTS = {
    "zh": [
        ("数据库连接池", "数据库连接池的上限设为{v}个。", "数据库连接池的上限是多少？", "最多可以同时打开几个链路？"),
        ("备份目录", "每晚的备份目录是{v}。", "备份目录在哪里？", "夜间副本存放到什么地方？"),
        ("值班工程师", "本周的值班工程师编号为{v}。", "本周值班工程师的编号是多少？", "现在由谁接听告警？"),
        ("会话有效期", "会话有效期为{v}秒。", "会话有效期是多少秒？", "用户登录之后多久必须重新输入密码？"),
        ("仓库租金", "北区仓库的租金为{v}元。", "北区仓库的租金是多少？", "那边的库房每月要付多少钱？"),
    ],
    "ja": [
        (
            "接続上限",
            "データベースの接続上限は{v}です。",
            "データベースの接続上限はいくつですか？",
            "同時に何本まで回線を開けますか？",
        ),
        (
            "保管温度",
            "ワクチンの保管温度は{v}ミリケルビンとする。",
            "ワクチンの保管温度は？",
            "薬はどれくらい冷やしておくべきですか？",
        ),
        (
            "締切",
            "原稿の締切は{v}年とされた。",
            "原稿の締切はいつですか？",
            "著者はいつまでに書き上げる必要がありますか？",
        ),
        (
            "担当者番号",
            "障害対応の担当者番号は{v}である。",
            "障害対応の担当者番号は何番ですか？",
            "トラブル時に誰へ電話すればよいですか？",
        ),
    ],
    "ar": [
        (
            "مهلة الجلسة",
            "تبلغ مهلة الجلسة {v} ثانية.",
            "كم تبلغ مهلة الجلسة؟",
            "متى يجب على المستخدم تسجيل الدخول من جديد؟",
        ),
        (
            "إيجار المستودع",
            "إيجار المستودع الشمالي هو {v} دينار.",
            "كم إيجار المستودع الشمالي؟",
            "كم ندفع مقابل المخزن شهريا؟",
        ),
        (
            "حجم الملف",
            "أقصى حجم للملف المرفوع {v} كيلوبايت.",
            "ما أقصى حجم للملف المرفوع؟",
            "كم يقبل الخادم من البيانات دفعة واحدة؟",
        ),
        ("رقم المناوب", "رقم المهندس المناوب هو {v}.", "ما رقم المهندس المناوب؟", "بمن نتصل عند وقوع عطل؟"),
    ],
}
FILL = {
    "zh": [
        "{a}的{b}已经在{c}完成，{d}将于下周继续。", "由于{a}的原因，{b}被推迟到{c}。", "会议讨论了{a}和{b}，{c}没有提出意见。",
        "{a}部门负责{b}，{c}部门负责{d}。", "根据{c}的报告，{a}比去年增加了{n}。", "请注意：{a}不包括{b}。",
    ],
    "ja": [
        "{a}の{b}は{c}で完了し、{d}は来週に続く。", "{a}のため、{b}は{c}まで延期された。", "会議では{a}と{b}が議論された。",
        "{c}の報告によると、{a}は昨年より{n}増えた。", "{a}部は{b}を担当し、{c}部は{d}を担当する。", "なお、{a}には{b}を含まない。",
    ],
    "ar": [
        "اكتمل {a} في {c} وسيستمر {d} الأسبوع القادم.", "بسبب {a} تأجل {b} إلى {c}.", "ناقش الاجتماع {a} و{b} دون اعتراض.",
        "وفقا لتقرير {c} ارتفع {a} بمقدار {n}.", "يتولى قسم {a} مهمة {b}.", "ملاحظة: لا يشمل {a} خدمة {b}.",
    ],
}  # fmt: skip
NOUNS = {
    "zh": "系统 网络 仓库 数据库 会话 订单 客户 报告 服务器 备份 合同 预算 工程 设备 培训 物流 北区 南区 值班 密码 租金 温度 目录 质量 财务".split(),
    "ja": "システム 倉庫 会議 注文 顧客 報告 サーバー 契約 予算 設備 研修 物流 原稿 接続 担当者 温度 品質 経理 データベース 障害 保管 番号 計画".split(),
    "ar": "النظام المستودع الشبكة التقرير العقد الميزانية الخادم التدريب الجلسة الملف العميل الطلب المهندس الشحن الجودة الصيانة الإيجار المشروع القسم".split(),
}
EMOJI = "🚀 🔥 ✅ 🐛 📦 🧪 👩‍💻 🏳️‍🌈 🇳🇿 👍🏽 ⚠️ 📈".split()


def foreign(rng: Random, paraphrase: bool) -> tuple[str, str, str, str]:
    """Text, needle, value, question."""
    language = rng.choice(sorted(FACTS))
    name, told, same, other = rng.choice(FACTS[language])
    value = str(rng.randint(10130, 98870))
    needle = told.format(v=value)
    if rng.random() < 0.3:
        needle = f"{rng.choice(EMOJI)} {needle}"
    lines = [_line(language, rng) for _ in range(rng.randint(120, 320))]
    for _ in range(rng.randint(2, 6)):  # others that share the name
        lines.insert(rng.randrange(len(lines)), f"{name}：{rng.choice(NOUNS[language])}")
    lines.insert(rng.randrange(len(lines) // 8, len(lines) * 7 // 8), needle)
    between = "" if language != "ar" and rng.random() < 0.25 else "\n"
    return between.join(lines) + "\n", needle, value, other if paraphrase else same


def _line(language: str, rng: Random) -> str:
    sentences: list[str] = []
    for _ in range(rng.randint(1, 3)):
        a, b, c, d = rng.sample(NOUNS[language], 4)
        sentences.append(rng.choice(FILL[language]).format(a=a, b=b, c=c, d=d, n=rng.randint(2, 900)))
    line = (" " if language == "ar" else "").join(sentences)
    return f"{rng.choice(EMOJI)} {line}" if rng.random() < 0.15 else line
