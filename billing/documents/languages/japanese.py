"""Japanese words of documents."""

# ruff: noqa: RUF001  # Full-width punctuation is how Japanese is written.

from billing.documents.languages.words import MailWords, TaxWords, Words
from metering.usage import ServiceTier, Unit

UNITS: dict[str, str] = {
    Unit.REQUEST: "リクエスト",
    Unit.INPUT_UNCACHED: "入力トークン",
    Unit.INPUT_CACHED: "キャッシュ済み入力トークン",
    Unit.CACHE_WRITE_5M: "キャッシュ書き込みトークン（5分）",
    Unit.CACHE_WRITE_1H: "キャッシュ書き込みトークン（1時間）",
    Unit.OUTPUT: "出力トークン",
    Unit.REASONING: "推論トークン",
    Unit.AUDIO_INPUT: "音声入力トークン",
    Unit.AUDIO_OUTPUT: "音声出力トークン",
    Unit.IMAGE: "画像",
    Unit.SECOND: "音声（秒）",
    Unit.CHARACTER: "文字",
}
SINGLE_UNITS: dict[str, str] = {
    Unit.REQUEST: "リクエスト",
    Unit.IMAGE: "枚",
    Unit.SECOND: "秒",
    Unit.CHARACTER: "文字",
}
TIERS: dict[str, str] = {ServiceTier.BATCH: "バッチ", ServiceTier.FLEX: "フレックス", ServiceTier.PRIORITY: "優先"}
KINDS = {
    "fee": "基本料金",
    "included": "プランに含まれる利用",
    "discount": "割引",
    "coupon": "クーポン",
    "minimum": "最低料金",
    "commitment": "未消化の利用コミットメント",
    "maximum": "上限額による調整",
    "grant": "付与クレジット",
    "credit": "返金",
}
TAXES = TaxWords(
    standard="消費税等 {rate}%",
    zero="税 0%（ゼロ税率）",
    exempt="税 0%（非課税）",
    reverse_charge="税 0%（リバースチャージ）",
    export="税 0%（輸出免税）",
    out_of_scope="課税対象外",
    exempt_reason="非課税です。",
    reverse_charge_reason="リバースチャージ：付加価値税は購入者が申告納付します（EU指令 2006/112/EC 第196条）。",
    export_reason="EU域外への提供につき免税です。",
    out_of_scope_reason=(
        "EU域外の購入者の所在地で提供されたため、EU付加価値税の対象外です（EU指令 2006/112/EC 第44条・第58条）。"
    ),
)
MAIL = MailWords(
    subject="{title}（{seller}）",
    invoice="""\
平素よりお世話になっております。

{month}分の請求書 {number}（{due}）をお送りします。
お支払期限は {due_on} です。

ご不明な点は {email} までお問い合わせください。

{seller}
""",
    credit_note="""\
平素よりお世話になっております。

請求書 {corrects} に対する返金通知書 {number}（{due}）をお送りします。

ご不明な点は {email} までお問い合わせください。

{seller}
""",
)
JAPANESE = Words(
    invoice="請求書 {number}",
    credit_note="返金通知書 {number}",
    invoice_to="請求先",
    tax_number="税務登録番号",
    invoice_number="請求書番号",
    credit_note_number="通知書番号",
    issue_date="発行日",
    due_date="お支払期限",
    service_period="ご利用期間",
    time_zone="タイムゾーン",
    corrected_invoice="対象の請求書",
    dated="{number}（{day}）",
    reason="理由",
    closed_early="期間途中の締め：{moment} までに記録された利用分です。以降の利用分は次回の請求書に記載します。",
    position="番号",
    description="内容",
    quantity="数量",
    unit_price="単価",
    amount="金額（{currency}）",
    project="プロジェクト {project}",
    whole_tenant="全プロジェクト",
    late_usage="{month}の追加計上分",
    correction="{month}の訂正",
    per_million_tokens="/ 100万トークン",
    per="/ {unit}",
    units=UNITS,
    single_units=SINGLE_UNITS,
    tiers=TIERS,
    kinds=KINDS,
    discount_of="{percent}% 割引",
    trial="無料トライアル",
    of_kind="{kind}：{name}",
    net="税抜金額",
    taxes=TAXES,
    gross="税込合計",
    prepaid="前払い残高からの支払い",
    amount_due="ご請求金額",
    amount_credited="返金額",
    payment="お支払い",
    please_pay="{day}までに {amount} を、{number} を明記のうえお支払いください。",
    nothing_to_pay="お支払いの必要はありません。",
    paid_by_wallet="前払い残高からお支払い済みのため、お支払いの必要はありません。",
    credited="請求書 {corrects} に対し {amount} を返金計上しました。お支払いの必要はありません。",
    bank_details="お振込先",
    usage_by_model="モデル別の利用量",
    usage_by_day="日別の利用量",
    model="モデル",
    day="日付",
    requests="リクエスト",
    input_tokens="入力トークン",
    output_tokens="出力トークン",
    total="合計",
    remark=(
        "この請求書は {moment} 時点で記録された利用分です。"
        "その後に記録された対象期間の利用分は、対象月を明記して後日請求します。"
    ),
    rounding="端数処理は各行で一度だけ行います。",
    page="{page} / {pages} ページ",
    mail=MAIL,
)
