"""Chinese words of documents, in simplified characters."""

# ruff: noqa: RUF001  # Full-width punctuation is how Chinese is written.

from billing.documents.languages.words import MailWords, TaxWords, Words
from metering.usage import ServiceTier, Unit

UNITS: dict[str, str] = {
    Unit.REQUEST: "请求",
    Unit.INPUT_UNCACHED: "输入 token",
    Unit.INPUT_CACHED: "缓存命中的输入 token",
    Unit.CACHE_WRITE_5M: "写入缓存的 token（5 分钟）",
    Unit.CACHE_WRITE_1H: "写入缓存的 token（1 小时）",
    Unit.OUTPUT: "输出 token",
    Unit.REASONING: "推理 token",
    Unit.AUDIO_INPUT: "音频输入 token",
    Unit.AUDIO_OUTPUT: "音频输出 token",
    Unit.IMAGE: "图像",
    Unit.SECOND: "音频秒数",
    Unit.CHARACTER: "字符",
}
SINGLE_UNITS: dict[str, str] = {Unit.REQUEST: "次", Unit.IMAGE: "张", Unit.SECOND: "秒", Unit.CHARACTER: "字符"}
TIERS: dict[str, str] = {ServiceTier.BATCH: "批处理", ServiceTier.FLEX: "弹性", ServiceTier.PRIORITY: "优先"}
KINDS = {
    "fee": "订阅费",
    "included": "包含的用量",
    "discount": "折扣",
    "coupon": "优惠券",
    "minimum": "最低消费",
    "commitment": "未用完的承诺消费",
    "maximum": "消费上限减免",
    "grant": "赠送额度",
    "credit": "贷项",
}
TAXES = TaxWords(
    standard="税额 {rate}%",
    zero="税额 0%（零税率）",
    exempt="税额 0%（免税）",
    reverse_charge="税额 0%（反向征收）",
    export="税额 0%（出口）",
    out_of_scope="不征税",
    exempt_reason="免税。",
    reverse_charge_reason="反向征收：由购买方缴纳增值税（欧盟指令 2006/112/EC 第 196 条）。",
    export_reason="向欧盟境外提供，免税。",
    out_of_scope_reason=(
        "不属于欧盟增值税征税范围：供应地为欧盟境外的购买方所在地（欧盟指令 2006/112/EC 第 44 条和第 58 条）。"
    ),
)
MAIL = MailWords(
    subject="{seller}：{title}",
    invoice="""\
您好：

附件为 {month}的账单 {number}，金额 {due}，请于 {due_on}前付款。

如有疑问，请联系 {email}。

{seller}
""",
    credit_note="""\
您好：

附件为账单 {corrects} 的贷项通知单 {number}，金额 {due}。

如有疑问，请联系 {email}。

{seller}
""",
)
CHINESE = Words(
    invoice="账单 {number}",
    credit_note="贷项通知单 {number}",
    invoice_to="客户",
    tax_number="税号",
    invoice_number="账单编号",
    credit_note_number="通知单编号",
    issue_date="开具日期",
    due_date="付款截止日",
    service_period="服务期间",
    time_zone="时区",
    corrected_invoice="对应账单",
    dated="{number}（{day}）",
    reason="原因",
    closed_early="提前结账：包含截至 {moment} 记录的用量，之后的用量计入下一份账单。",
    position="序号",
    description="说明",
    quantity="数量",
    unit_price="单价",
    amount="金额（{currency}）",
    project="项目 {project}",
    whole_tenant="所有项目",
    late_usage="{month}补记用量",
    correction="{month}更正",
    per_million_tokens="/ 百万 token",
    per="/ {unit}",
    units=UNITS,
    single_units=SINGLE_UNITS,
    tiers=TIERS,
    kinds=KINDS,
    discount_of="折扣 {percent}%",
    trial="试用",
    of_kind="{kind}：{name}",
    net="不含税金额",
    taxes=TAXES,
    gross="含税合计",
    prepaid="预付余额已支付",
    amount_due="应付金额",
    amount_credited="贷记金额",
    payment="付款",
    please_pay="请于 {day}前支付 {amount}，并注明 {number}。",
    nothing_to_pay="无需付款。",
    paid_by_wallet="无需付款：已由预付余额支付。",
    credited="{amount} 已贷记于账单 {corrects}，无需付款。",
    bank_details="收款账户",
    usage_by_model="各模型用量",
    usage_by_day="每日用量",
    model="模型",
    day="日期",
    requests="请求",
    input_tokens="输入 token",
    output_tokens="输出 token",
    total="合计",
    remark="本账单包含截至 {moment} 已记录的用量；之后才记录的本期用量将计入以后的账单，并注明所属月份。",
    rounding="每行金额仅四舍五入一次。",
    page="第 {page} 页，共 {pages} 页",
    mail=MAIL,
)
