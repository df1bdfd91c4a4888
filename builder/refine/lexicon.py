"""The words of refine's own: what is unsafe, advertising or of a page, and what the dictionary's tags get wrong.

Each list is for texts in simplified script. A word is on none where captions that are right have it: 办证 is in
办证大厅, 娱乐城 in views of Macau, 洗钱 in 反洗钱宣传, 刷单 in warnings of the police, 包邮 in half of all shop titles.
"""

from __future__ import annotations


def _words(*lines: str) -> tuple[str, ...]:
    return tuple(word for line in lines for word in line.split())


UNSAFE = _words(
    # pornography
    "色情 裸聊 约炮 援交 一夜情 自慰 自慰器 飞机杯 春药 催情药 性爱 做爱 口交 乱伦 AV女优 成人电影 色情电影 三级片",
    # gambling: what is offered on line, and not the places
    "博彩 百家乐 六合彩 时时彩 赌球 送彩金 线上娱乐城 在线娱乐城 真人荷官 私彩 投注网",
    # drugs and weapons
    "迷药 听话水 摇头丸 出售冰毒 仿真枪专卖 仿真枪出售 出售枪支 猎枪出售 猎枪专卖 气枪专卖",
    # fraud
    "高仿人民币 出售假币 办假证 购买文凭 代办文凭 黑客接单",
)
ADVERTS = _words(
    "代开发票 代开增值税 办证刻章 刻章办证 代办证件 代写论文 论文代写 代发论文 代写作业",
    "加微信 加我微信 加V信 加vx 加QQ群 微信同号 扫码加群",
    "兼职刷单 兼职刷单日结 刷单佣金 淘宝刷单 刷粉 刷粉刷赞 买粉丝 网赚 日入过千",
    "无抵押贷款 黑户贷款 不看征信 当天放款 秒下款 信用卡套现 提额套现 代还信用卡",
    "广告位招租 广告位出租 广告招租 关键词排名 关键词快速排名 外链代发 传奇私服 私服发布网 游戏代练",
)
# What pages are operated with. A text of nothing else says nothing of its picture.
INTERFACE = _words(
    "展开 收起 分类 看不清 换一换 换一张 刷新 验证码 头像 默认 用户 二维码 分享 缩略图 登录 注册 搜索 检索",
    "返回 首页 主页 顶部 上一页 下一页 上一主题 下一主题 上一篇 下一篇 跳转 到 指定 楼层 发帖 发新帖 回帖 回复 评论",
    "点赞 收藏 打印 关闭 广告 图片 大图 原图 点击 查看 更多 加载中 请稍候 下载 客户端 手机 官方 微信 微博",
    "公众号 朋友圈 扫一扫 关注 我们",
)
# Things to be seen that the dictionary of rjieba 0.2.2 tags as no noun: 花 as a verb, 相机 as an adverb, 春节 as a
# time, 街头 as a place. Picked from 2,400 words for what photographs and shops show: one in ten has such a tag.
PICTURES = frozenset(
    _words(
        # animals and plants
        "鸟 火烈鸟 带鱼 贝 英短 美短 驴打滚 熊出没 花 树 月季 发财树 湿地",
        # dishes
        "烧卖 炒饭 抄手 云吞 拌面 糖醋排骨 凉拌 刺身 糖 蛋挞 可乐 可颂",
        "八角 孜然 料酒 大米 千张 臭干 千层 精酿 蔓越莓 杏鲍菇",
        "麻辣烫 烧烤 爆炒 水煮 年夜饭",
        # festivals, and times that can be seen
        "春节 元宵 元宵节 清明 清明节 端午 端午节 七夕 中秋 中秋节 国庆",
        "国庆节 元旦 除夕 圣诞 圣诞节 感恩节 腊八 小年 新年",
        "跨年 惊蛰 小满 夏至 处暑 寒露 立冬 冬至 大寒 春天 夏天 秋天 冬天",
        "春 秋 冬 早晨 清晨 黄昏 傍晚 夜晚 夜 日出 闪电",
        # places
        "海边 海上 海底 海岸 水上 水下 空中 天上 天边 街头 路边 河边",
        "湖边 江边 岸边 窗边 窗前 门口 门前 桌上 墙上 树上 地上",
        "室内 户外 野外 屋内 屋外 塔 窗 超市 自由女神 十字路口 跑道",
        # machines, tools and parts
        "相机 单反 无人机 显卡 主机 留声机 功放 打火机 跑步机 动感单车",
        "装载机 粉碎机 破碎机 洒水车 碰碰车 奔驰 日产 放大镜",
        "流量计 千分尺 开关 弯头 挂钩 拉手 伸缩门 门禁 光伏 锯 锁 铲 炒锅",
        # in the house
        "勺 碗 洗脸盆 扫把 抹布 四件套 更衣柜 浴室柜 隔断 尿布 日历 挂历 信封",
        # to wear
        "包 护膝 披肩 披风 领结 流苏 发箍 假发 短发 卷发 制服",
        # pictures and shows
        "写真 自拍 合照 俯瞰 截图 插图 配图 实拍 展台 展架 包装 装修",
        "鼓 相声 拼图 乐高 手办 扭蛋 象棋 围棋 高跷 蹦床 独木舟",
        # people and what they do
        "警察 模特 导演 拳击 轮滑 骑行 露营 跳伞 健身 跳舞 跳水 跳高 跳远 举重 拔河 漂流 蹦极 阅兵 颁奖",
    )
)
# What it tags as a noun though it names nothing to be seen. 图片 stays a noun: of 跳舞图片 it is the only one.
NO_THINGS = frozenset(
    _words(
        "高清 大图 原图 蓝光",  # of files; the first and the last are people's names to it
        "安静 明白 静静 美美 萌萌 蒙蒙 安然 冉冉",
        "时时 温馨 大方 大胆 小心 给力 越来越近",  # how something is or is done
        "谢谢 早安 晚安 大家",  # said to a reader
        "包邮 清仓 秒杀 限时 加厚 免费 专用 优质 高端",  # of an offer, whatever it is
    )
)
