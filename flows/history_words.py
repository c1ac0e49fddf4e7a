"""The words of `larisma history`, in Indonesian and English."""

from typing import Any

TEXTS: dict[str, dict[str, Any]] = {
    "id": {
        "sent": "Pelanggan {customer} menerima {sent} pesan dari {of} yang diputuskan.",
        "nothing": "Pelanggan {customer} belum dikirimi apa pun; {of} pesan diputuskan untuknya.",
        "last": "Yang terakhir: {name} lewat {channel}, {when}.",
        "refused": "Tidak mau lagi dikirimi promo lewat {channel} (sejak {date}).",
        "all_channels": "semua saluran",
        "hushed": "Alamat {channel}-nya tidak dikirimi lagi: {reason} (sejak {date}).",
        "gone": "Tidak ada lagi di tabel pelanggan.",
        "header": ("waktu", "kampanye", "saluran", "keadaan", "judul"),
        "offers": ("kampanye", "penawaran", "syarat", "kode", "sampai", "penanggung", "alasan"),
        "states": {
            "decided": "diputuskan, belum dikirim",
            "pending": "menunggu giliran",
            "claimed": "sedang dikirim",
            "writing": "sedang dikirim",
            "sent": "terkirim",
            "bounced": "alamat tidak ada",
            "unknown": "tidak pasti terkirim",
            "skipped": "tidak jadi dikirim",
            "failed": "ditolak",
            "expired": "lewat batas waktu",
        },
    },
    "en": {
        "sent": "Customer {customer} was sent {sent} messages of the {of} that were decided.",
        "nothing": "Customer {customer} was sent nothing yet; {of} messages were decided.",
        "last": "The latest: {name} by {channel}, {when}.",
        "refused": "Wants no more promotions by {channel} (since {date}).",
        "all_channels": "any channel",
        "hushed": "Nothing more goes to the {channel} address: {reason} (since {date}).",
        "gone": "No longer in the table of customers.",
        "header": ("time", "campaign", "channel", "state", "subject"),
        "offers": ("campaign", "offer", "terms", "code", "until", "funders", "why"),
        "states": {
            "decided": "decided, not sent yet",
            "pending": "waits for its turn",
            "claimed": "being sent",
            "writing": "being sent",
            "sent": "sent",
            "bounced": "no such address",
            "unknown": "not known whether sent",
            "skipped": "not sent",
            "failed": "refused",
            "expired": "past its deadline",
        },
    },
}
